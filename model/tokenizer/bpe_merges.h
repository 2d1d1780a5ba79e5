#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "model/tokenizer.h"

namespace cloister::model {

// The merge rules of a byte-pair encoding. Immutable once built, then thread-safe.
class BpeMerges {
 public:
  void Reserve(std::size_t count) { rules_.reserve(count); }
  // The earlier rule of a pair wins.
  void Add(TokenId left, TokenId right, std::int32_t rank, TokenId result);

  // Applies, again and again, the rule of lowest rank (of equals the leftmost) that fits two
  // neighbours. O(n log n).
  std::vector<TokenId> Apply(std::span<const TokenId> symbols) const;

 private:
  struct Rule {
    std::int32_t rank = 0;
    TokenId result = 0;
  };
  static std::uint64_t Key(TokenId left, TokenId right) {
    return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
           static_cast<std::uint32_t>(right);
  }
  const Rule* Find(TokenId left, TokenId right) const;

  std::unordered_map<std::uint64_t, Rule> rules_;
};

}  // namespace cloister::model
