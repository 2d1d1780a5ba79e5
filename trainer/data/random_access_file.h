#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <utility>

#include "base/result.h"

namespace cloister::trainer {

// An open file that is read at any place; it stays the same file whatever is renamed over its name.
// Reading is thread-safe.
class RandomAccessFile {
 public:
  // A regular file, for reading. kNotFound where there is none.
  static base::Result<RandomAccessFile> Open(const std::filesystem::path& path);
  // An empty one without a name that the owner alone may read, in the system's folder for temporary
  // files (TMPDIR): it is gone with this, also when the process is killed.
  static base::Result<RandomAccessFile> Temporary();

  RandomAccessFile(RandomAccessFile&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  RandomAccessFile& operator=(RandomAccessFile&& other) noexcept;
  ~RandomAccessFile();

  base::Result<std::uint64_t> Size() const;
  // Bytes that were read to the front of `bytes`: fewer than its size only at the file's end.
  // kDataLoss where the system cannot read them.
  base::Result<std::size_t> Read(std::uint64_t offset, std::span<char> bytes) const;
  // kUnavailable where they find no room.
  base::Status Write(std::uint64_t offset, std::span<const char> bytes);

 private:
  explicit RandomAccessFile(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace cloister::trainer
