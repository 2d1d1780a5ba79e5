#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "base/zeroed_array.h"

namespace cloister::base {

// Zeros, of which parts can be given back to the system and used again where they stand: for large
// arrays that are there in parts. Small pages, so that a part's edges cost little. What has not
// been touched takes no memory. Threads may use different parts at a time.
class PagedMemory {
 public:
  // Throws std::bad_alloc.
  explicit PagedMemory(std::size_t bytes);

  std::span<std::byte> bytes() { return {static_cast<std::byte*>(memory_.get()), size_}; }
  // As numbers, of which it holds whole ones.
  template <typename T>
  std::span<T> As() {
    return {static_cast<T*>(memory_.get()), size_ / sizeof(T)};
  }

  // Makes zeros of `size` bytes from `begin` on; the whole pages among them take no memory then.
  void Clear(std::size_t begin, std::size_t size);

 private:
  ZeroedMemory::Pointer memory_;
  std::size_t size_;
};

}  // namespace cloister::base
