#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizer.h"

namespace cloister::model {

// Finds tokens that are written out in a text. Immutable once built, then thread-safe.
class SpecialTokens {
 public:
  // `always`: found even where special tokens are plain text.
  void Add(std::string text, TokenId id, bool always);

  struct Found {
    std::size_t begin = 0;
    std::size_t end = 0;
    TokenId id = 0;
  };
  // The first token at or after `from`; of several at one place the longest.
  std::optional<Found> Find(std::string_view text, std::size_t from, bool parse_special) const;

 private:
  struct Entry {
    std::string text;
    TokenId id = 0;
    bool always = false;
  };
  std::array<std::vector<Entry>, 256> by_first_byte_;  // the longest first
};

}  // namespace cloister::model
