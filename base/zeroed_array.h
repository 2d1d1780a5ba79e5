#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

namespace cloister::base {

// Memory that the system clears when it is first touched, by the thread that touches it, in pages
// of 2 MiB where it can, each of which is one fault instead of 512.
struct ZeroedMemory {
  struct Unmap {
    std::size_t bytes = 0;
    void operator()(void* start) const;
  };
  using Pointer = std::unique_ptr<void, Unmap>;

  // `count` things of `size` bytes. Throws std::bad_alloc.
  static Pointer Map(std::size_t count, std::size_t size);
};

// An array of so many zeros, for arrays of many megabytes that are made often. Movable; what was
// moved from is empty.
template <typename T>
class ZeroedArray {
  static_assert(std::is_trivial_v<T>);

 public:
  ZeroedArray() = default;
  explicit ZeroedArray(std::size_t size)
      : memory_(ZeroedMemory::Map(size, sizeof(T))), size_(size) {}
  ZeroedArray(ZeroedArray&& other) noexcept { *this = std::move(other); }
  ZeroedArray& operator=(ZeroedArray&& other) noexcept {
    memory_ = std::move(other.memory_);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T* data() { return static_cast<T*>(memory_.get()); }
  const T* data() const { return static_cast<const T*>(memory_.get()); }
  T& operator[](std::size_t i) { return data()[i]; }
  const T& operator[](std::size_t i) const { return data()[i]; }

 private:
  ZeroedMemory::Pointer memory_;
  std::size_t size_ = 0;
};

}  // namespace cloister::base
