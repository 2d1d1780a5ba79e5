#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/tokenizer/text_splitter.h"

#include <pcre2.h>

#include <new>
#include <utility>

namespace cloister::model {
namespace {

struct MatchDataDeleter {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
using MatchData = std::unique_ptr<pcre2_match_data, MatchDataDeleter>;

struct Match {
  std::size_t begin = 0;
  std::size_t end = 0;
};

}  // namespace

class TextSplitter::Pattern {
 public:
  explicit Pattern(pcre2_code* code) : code_(code) {
    pcre2_jit_compile(code_, PCRE2_JIT_COMPLETE);  // without it matching is only slower
  }
  ~Pattern() { pcre2_code_free(code_); }
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;

  void Cut(std::string_view piece, std::vector<std::string_view>& pieces) const {
    const MatchData data(pcre2_match_data_create_from_pattern(code_, nullptr));
    if (data == nullptr) throw std::bad_alloc();
    std::size_t done = 0;
    while (done < piece.size()) {
      const Match match = Find(piece, done, data.get());
      if (match.begin > done) pieces.push_back(piece.substr(done, match.begin - done));
      if (match.end > match.begin) {
        pieces.push_back(piece.substr(match.begin, match.end - match.begin));
      }
      done = match.end;
    }
  }

 private:
  // The first match that is not empty, or the end of the text.
  Match Find(std::string_view text, std::size_t from, pcre2_match_data* data) const {
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    int count = pcre2_match(code_, subject, text.size(), from, PCRE2_NOTEMPTY, data, nullptr);
    if (count == PCRE2_ERROR_JIT_STACKLIMIT) {
      count = pcre2_match(code_, subject, text.size(), from, PCRE2_NOTEMPTY | PCRE2_NO_JIT, data,
                          nullptr);
    }
    if (count < 0) return {text.size(), text.size()};
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data);
    // \K may move a match's start back: never before what was cut already.
    if (bounds[0] < from || bounds[1] <= bounds[0]) return {text.size(), text.size()};
    return {bounds[0], bounds[1]};
  }

  pcre2_code* code_;
};

TextSplitter::TextSplitter() = default;
TextSplitter::TextSplitter(TextSplitter&&) noexcept = default;
TextSplitter& TextSplitter::operator=(TextSplitter&&) noexcept = default;
TextSplitter::~TextSplitter() = default;

base::Result<TextSplitter> TextSplitter::Make(const std::vector<std::string>& patterns) {
  TextSplitter splitter;
  for (const std::string& pattern : patterns) {
    int error = 0;
    PCRE2_SIZE offset = 0;
    pcre2_code* code =
        pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                      PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C,
                      &error, &offset, nullptr);
    if (code == nullptr) {
      PCRE2_UCHAR reason[256] = {};
      pcre2_get_error_message(error, reason, sizeof reason);
      return base::Fail(base::Code::kDataLoss, "the tokenizer's pattern '" + pattern +
                                                   "' is broken at " + std::to_string(offset) +
                                                   " (" + reinterpret_cast<const char*>(reason) +
                                                   "): fetch the model again");
    }
    splitter.patterns_.push_back(std::make_unique<const Pattern>(code));
  }
  return splitter;
}

std::vector<std::string_view> TextSplitter::Split(std::string_view text) const {
  std::vector<std::string_view> pieces;
  if (!text.empty()) pieces.push_back(text);
  for (const auto& pattern : patterns_) {
    std::vector<std::string_view> cut;
    for (const std::string_view piece : pieces) pattern->Cut(piece, cut);
    pieces = std::move(cut);
  }
  return pieces;
}

}  // namespace cloister::model
