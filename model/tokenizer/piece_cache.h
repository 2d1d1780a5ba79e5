#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "model/tokenizer.h"
#include "model/tokenizer/hash.h"

namespace cloister::model {

// Remembers what short pieces were merged to: text repeats its words. Of fixed size; a piece
// displaces the one in its slot. Thread-safe without locks: each slot carries a version that is odd
// while it is written, and a reader who sees it change has found nothing (Lameter 2005, seqlocks).
class PieceCache {
 public:
  PieceCache() : slots_(kSlots) {}
  PieceCache(const PieceCache&) = delete;
  PieceCache& operator=(const PieceCache&) = delete;

  static constexpr std::size_t kMaxBytes = 24;
  static constexpr std::size_t kMaxIds = 8;

  // A piece of at most kMaxBytes, made ready to be looked for.
  class Key {
   public:
    explicit Key(std::string_view piece);

   private:
    friend class PieceCache;
    std::array<std::uint64_t, kMaxBytes / 8> words_ = {};
    std::uint64_t size_;
  };

  // Appends the piece's ids; false, and nothing appended, when they are not known.
  bool Find(const Key& key, std::vector<TokenId>& ids) const;
  void Insert(const Key& key, std::span<const TokenId> ids);

 private:
  static constexpr std::size_t kSlots = std::size_t{1} << 15;
  static constexpr std::size_t kKeyWords = kMaxBytes / 8;
  static constexpr std::size_t kIdWords = kMaxIds / 2;
  struct alignas(64) Slot {
    // Version in the upper half, then the number of ids and of bytes.
    std::atomic<std::uint64_t> head = 0;
    std::array<std::atomic<std::uint64_t>, kKeyWords + kIdWords> words = {};
  };
  static constexpr std::uint64_t kVersion = std::uint64_t{1} << 32;

  std::size_t SlotOf(const Key& key) const {
    return MixBits(MixBits(MixBits(MixBits(key.size_ ^ seed_) ^ key.words_[0]) ^ key.words_[1]) ^
                   key.words_[2]) &
           (kSlots - 1);
  }

  std::vector<Slot> slots_;
  std::uint64_t seed_ = HashSeed();
};

}  // namespace cloister::model
