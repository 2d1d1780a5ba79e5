#include "tests/dp/large_mappings.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>

namespace {

constexpr std::size_t kLarge = std::size_t{1} << 20;

std::atomic<std::int64_t> asked = 0;
std::atomic<bool> refused = false;

}  // namespace

// Comes before the C library's for all but the library itself.
extern "C" void* mmap(void* address, std::size_t size, int protection, int flags, int file,
                      off_t offset) noexcept {
  if (size >= kLarge) {
    ++asked;
    if (refused) {
      errno = ENOMEM;
      return MAP_FAILED;
    }
  }
  // NOLINTNEXTLINE: what the library's does.
  return reinterpret_cast<void*>(
      ::syscall(SYS_mmap, address, size, protection, flags, file, offset));
}

namespace cloister::dp {

std::int64_t LargeMappings() { return asked; }

NoLargeMappings::NoLargeMappings() { refused = true; }
NoLargeMappings::~NoLargeMappings() { refused = false; }

}  // namespace cloister::dp
