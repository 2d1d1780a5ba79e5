#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <new>

namespace cloister::base {

// An allocator for vectors of many megabytes that are made often: it asks the system for pages of
// 2 MiB, each of which is one fault instead of 512.
template <typename T>
struct LargePages {
  using value_type = T;
  static constexpr std::size_t kPage = std::size_t{2} << 20;

  LargePages() = default;
  template <typename U>
  LargePages(const LargePages<U>&) {}

  T* allocate(std::size_t count) {
    const std::size_t bytes = count * sizeof(T);
    if (bytes < 2 * kPage) return static_cast<T*>(::operator new(bytes));
    void* const memory = ::operator new(bytes, std::align_val_t(kPage));
#ifdef MADV_HUGEPAGE
    ::madvise(memory, bytes / kPage * kPage, MADV_HUGEPAGE);  // a wish
#endif
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, std::size_t count) {
    if (count * sizeof(T) < 2 * kPage) {
      ::operator delete(memory);
    } else {
      ::operator delete(memory, std::align_val_t(kPage));
    }
  }
  friend bool operator==(const LargePages&, const LargePages&) { return true; }
};

}  // namespace cloister::base
