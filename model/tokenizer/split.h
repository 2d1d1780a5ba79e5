#pragma once

#include <string_view>

#include "model/tokenizer/piece_sink.h"
#include "model/tokenizer/pre_tokenizer.h"

namespace cloister::model {

// Turns a pattern's matches in a text into pieces. Call Match for each match in order, then Finish.
class Splitter {
 public:
  Splitter(std::string_view text, bool begins, SplitBehavior behavior, bool invert, PieceSink& sink)
      : text_(text), begins_(begins), behavior_(behavior), invert_(invert), sink_(sink) {}

  void Match(std::size_t begin, std::size_t end);
  void Finish();

 private:
  // A stretch of text that is a match or what lies between two.
  void Stretch(std::size_t begin, std::size_t end, bool is_match);
  // Puts out the piece that is still open, if there is one.
  void Flush();

  std::string_view text_;
  bool begins_;
  SplitBehavior behavior_;
  bool invert_;
  PieceSink& sink_;
  std::size_t done_ = 0;  // end of the last stretch
  std::size_t open_begin_ = 0;
  std::size_t open_end_ = 0;
  bool open_ = false;
  bool last_match_ = false;  // whether the last stretch was a match
};

}  // namespace cloister::model
