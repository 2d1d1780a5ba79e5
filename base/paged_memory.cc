#include "base/paged_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace cloister::base {

PagedMemory::PagedMemory(std::size_t bytes) : memory_(ZeroedMemory::Map(bytes, 1)), size_(bytes) {
#ifdef MADV_NOHUGEPAGE
  if (bytes > 0) ::madvise(memory_.get(), bytes, MADV_NOHUGEPAGE);  // a wish
#endif
}

void PagedMemory::Clear(std::size_t begin, std::size_t size) {
  CLOISTER_CHECK(begin <= size_ && size <= size_ - begin);
  if (size == 0) return;
  static const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  auto* const start = static_cast<std::byte*>(memory_.get());
  const std::size_t end = begin + size;
  const std::size_t first = std::min(end, (begin + page - 1) / page * page);
  const std::size_t last = std::max(first, end / page * page);
  std::memset(start + begin, 0, first - begin);
  // Pages that are nobody else's read as zeros when they are given back.
  if (last > first && ::madvise(start + first, last - first, MADV_DONTNEED) != 0) {
    std::memset(start + first, 0, last - first);
  }
  std::memset(start + last, 0, end - last);
}

}  // namespace cloister::base
