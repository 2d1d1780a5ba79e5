#include "tests/dp/large_allocations.h"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

constexpr std::size_t kLarge = std::size_t{1} << 20;

std::atomic<std::int64_t> asked = 0;
std::atomic<bool> refused = false;

void* Allocate(std::size_t size, std::size_t alignment) {
  if (size >= kLarge) {
    ++asked;
    if (refused) throw std::bad_alloc();
  }
  const std::size_t whole = (size + alignment) / alignment * alignment;  // above 0
  if (void* const memory = std::aligned_alloc(alignment, whole)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t size) { return Allocate(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return Allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace cloister::dp {

std::int64_t LargeAllocations() { return asked; }

NoLargeAllocations::NoLargeAllocations() { refused = true; }
NoLargeAllocations::~NoLargeAllocations() { refused = false; }

}  // namespace cloister::dp
