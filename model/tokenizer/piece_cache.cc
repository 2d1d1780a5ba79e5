#include "model/tokenizer/piece_cache.h"

#include <cstring>

namespace cloister::model {

PieceCache::Key::Key(std::string_view piece) : size_(piece.size()) {
  std::memcpy(words_.data(), piece.data(), piece.size());
}

bool PieceCache::Find(const Key& key, std::vector<TokenId>& ids) const {
  const Slot& slot = slots_[SlotOf(key)];
  // Every load acquires, so that the last one cannot come before those of the words.
  const std::uint64_t head = slot.head.load(std::memory_order_acquire);
  if ((head & 0xff) != key.size_ || (head & kVersion) != 0) return false;
  for (std::size_t i = 0; i < kKeyWords; ++i) {
    if (slot.words[i].load(std::memory_order_acquire) != key.words_[i]) return false;
  }
  const std::size_t count = head >> 8 & 0xff;
  std::array<TokenId, kMaxIds> found;
  for (std::size_t i = 0; i < count; i += 2) {
    const std::uint64_t word = slot.words[kKeyWords + i / 2].load(std::memory_order_acquire);
    found[i] = static_cast<TokenId>(word);
    found[i + 1] = static_cast<TokenId>(word >> 32);
  }
  if (slot.head.load(std::memory_order_acquire) != head) return false;
  ids.insert(ids.end(), found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count));
  return true;
}

void PieceCache::Insert(const Key& key, std::span<const TokenId> ids) {
  if (ids.size() > kMaxIds) return;
  Slot& slot = slots_[SlotOf(key)];
  std::uint64_t head = slot.head.load(std::memory_order_relaxed);
  // Where another thread writes, its piece is as good.
  if ((head & kVersion) != 0 ||
      !slot.head.compare_exchange_strong(head, head + kVersion, std::memory_order_acq_rel)) {
    return;
  }
  for (std::size_t i = 0; i < kKeyWords; ++i) {
    slot.words[i].store(key.words_[i], std::memory_order_release);
  }
  for (std::size_t i = 0; i < ids.size(); i += 2) {
    const TokenId second = i + 1 < ids.size() ? ids[i + 1] : 0;
    slot.words[kKeyWords + i / 2].store(
        static_cast<std::uint64_t>(static_cast<std::uint32_t>(second)) << 32 |
            static_cast<std::uint32_t>(ids[i]),
        std::memory_order_release);
  }
  const std::uint64_t version = ((head >> 32) + 2) << 32;
  slot.head.store(version | static_cast<std::uint64_t>(ids.size()) << 8 | key.size_,
                  std::memory_order_release);
}

}  // namespace cloister::model
