#include "base/sync.h"

#include <fcntl.h>
#include <unistd.h>

namespace cloister::base {

bool SyncPath(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool synced = ::fsync(fd) == 0;
  ::close(fd);
  return synced;
}

}  // namespace cloister::base
