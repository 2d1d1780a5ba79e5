#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cloister::model {

// Cuts text into pieces before merging. Each pattern cuts every piece of the one before: its
// matches and what lies between them are the new pieces. Together the pieces are the text, byte for
// byte. Immutable, thread-safe.
class TextSplitter {
 public:
  // Perl-compatible patterns with Unicode properties. kDataLoss, naming the pattern, for one that
  // does not compile.
  static base::Result<TextSplitter> Make(const std::vector<std::string>& patterns);

  TextSplitter(TextSplitter&&) noexcept;
  TextSplitter& operator=(TextSplitter&&) noexcept;
  ~TextSplitter();

  // Views into `text`. Bytes that are no UTF-8 match nothing and stay in the pieces between. Where
  // a pattern's search exceeds PCRE2's match limit, the rest of the piece is left uncut.
  std::vector<std::string_view> Split(std::string_view text) const;

 private:
  class Pattern;
  TextSplitter();
  std::vector<std::unique_ptr<const Pattern>> patterns_;
};

}  // namespace cloister::model
