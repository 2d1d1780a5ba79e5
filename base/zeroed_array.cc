#include "base/zeroed_array.h"

#include <sys/mman.h>

#include <limits>
#include <new>

namespace cloister::base {
namespace {

constexpr std::size_t kLargePage = std::size_t{2} << 20;

}  // namespace

void ZeroedMemory::Unmap::operator()(void* start) const { ::munmap(start, bytes); }

ZeroedMemory::Pointer ZeroedMemory::Map(std::size_t count, std::size_t size) {
  if (count == 0) return {};
  if (count > std::numeric_limits<std::size_t>::max() / size) throw std::bad_array_new_length();
  const std::size_t bytes = count * size;
  void* const start =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  if (bytes >= 2 * kLargePage) ::madvise(start, bytes, MADV_HUGEPAGE);  // a wish
#endif
  return {start, Unmap{bytes}};
}

}  // namespace cloister::base
