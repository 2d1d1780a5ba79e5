#include "model/tokenizer/split.h"

namespace cloister::model {

void Splitter::Match(std::size_t begin, std::size_t end) {
  if (begin > done_) Stretch(done_, begin, invert_);
  Stretch(begin, end, !invert_);
  done_ = end;
}

void Splitter::Finish() {
  if (done_ < text_.size()) Stretch(done_, text_.size(), invert_);
  Flush();
}

void Splitter::Flush() {
  if (open_ && open_end_ > open_begin_) {
    sink_.Add(text_.substr(open_begin_, open_end_ - open_begin_), begins_ && open_begin_ == 0);
  }
  open_ = false;
}

void Splitter::Stretch(std::size_t begin, std::size_t end, bool is_match) {
  bool joins = false;  // the open piece grows by this stretch
  switch (behavior_) {
    case SplitBehavior::kRemoved:
    case SplitBehavior::kIsolated:
      break;
    case SplitBehavior::kContiguous:
      joins = open_ && is_match == last_match_;
      break;
    case SplitBehavior::kMergedWithPrevious:
      joins = open_ && is_match && !last_match_;
      break;
    case SplitBehavior::kMergedWithNext:
      joins = open_ && !is_match && last_match_;
      break;
  }
  if (joins) {
    open_end_ = end;
  } else {
    Flush();
    open_begin_ = begin;
    open_end_ = end;
    open_ = behavior_ != SplitBehavior::kRemoved || !is_match;
  }
  last_match_ = is_match;
}

}  // namespace cloister::model
