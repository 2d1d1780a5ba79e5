#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizer.h"
#include "model/tokenizer/hash.h"

namespace cloister::model {

// Finds a piece's id. An open-addressing table beside the pieces, which it does not copy: they must
// outlive it. Immutable once built, then thread-safe.
class Vocabulary {
 public:
  static constexpr TokenId kAbsent = -1;

  // Of equal pieces the first one counts; those that `skip` names by id are left out.
  template <typename Skip>
  Vocabulary(std::span<const std::string> pieces, Skip skip) : pieces_(pieces) {
    Reserve(pieces.size());
    for (std::size_t id = 0; id < pieces.size(); ++id) {
      if (!skip(static_cast<TokenId>(id))) Insert(static_cast<TokenId>(id));
    }
  }

  TokenId Find(std::string_view piece) const {
    const std::uint32_t hash = Hash(piece);
    for (std::size_t at = hash & mask_; slots_[at].id != kAbsent; at = (at + 1) & mask_) {
      if (slots_[at].hash == hash && pieces_[static_cast<std::size_t>(slots_[at].id)] == piece) {
        return slots_[at].id;
      }
    }
    return kAbsent;
  }

 private:
  struct Slot {
    std::uint32_t hash = 0;
    TokenId id = kAbsent;
  };
  std::uint32_t Hash(std::string_view piece) const {
    return static_cast<std::uint32_t>(HashBytes(piece, seed_));
  }
  void Reserve(std::size_t count);
  void Insert(TokenId id);

  std::span<const std::string> pieces_;
  std::vector<Slot> slots_;
  std::size_t mask_ = 0;
  std::uint64_t seed_ = HashSeed();
};

}  // namespace cloister::model
