#pragma once

#include <cstdint>
#include <vector>

#include "model/tokenizer.h"
#include "model/tokenizer/hash.h"

namespace cloister::model {

// Which token two neighbouring tokens become, and how soon: the lower rank first.
struct MergeRule {
  std::uint32_t rank = 0;
  TokenId result = 0;
};

// The merge rules of a byte-pair encoding by their pair. Immutable once built, then thread-safe.
class MergeRules {
 public:
  // For at most `count` rules.
  explicit MergeRules(std::size_t count);

  // A later rule of a pair replaces the earlier one.
  void Add(TokenId left, TokenId right, MergeRule rule);

  // Null when the pair has none.
  const MergeRule* Find(TokenId left, TokenId right) const {
    const std::uint64_t key = Key(left, right);
    for (std::size_t at = First(key);; at = (at + 1) & mask_) {
      if (slots_[at].key == key) return &slots_[at].rule;
      if (slots_[at].key == kEmpty) return nullptr;
    }
  }

 private:
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};  // of no ids, which are not negative
  struct Slot {
    std::uint64_t key = kEmpty;
    MergeRule rule;
  };
  static std::uint64_t Key(TokenId left, TokenId right) {
    return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
           static_cast<std::uint32_t>(right);
  }
  std::size_t First(std::uint64_t key) const { return MixBits(MixBits(key ^ seed_)) & mask_; }

  std::vector<Slot> slots_;
  std::size_t mask_ = 0;
  std::uint64_t seed_ = HashSeed();
};

}  // namespace cloister::model
