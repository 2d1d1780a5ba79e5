#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "base/result.h"

namespace cloister::base {

// A whole file mapped read-only. Bytes stay valid for the object's life, wherever it is moved.
// Errors: kNotFound when absent or no regular file; kDataLoss when empty or unreadable.
// Thread-safe for reading. A file that another process truncates while it is mapped raises SIGBUS:
// model files are replaced by rename, never rewritten in place.
class MappedFile {
 public:
  static Result<MappedFile> Open(const std::filesystem::path& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }

  // Lets go of the memory that this process holds of the file; what is read later is fetched again.
  void ReleasePages() const;

 private:
  MappedFile(const std::byte* data, std::size_t size) : data_(data), size_(size) {}

  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// Asks the system to read `bytes`, a part of a mapped file, in the background. Any address; nothing
// happens where the system does not care.
void PrefetchMapped(std::span<const std::byte> bytes);

}  // namespace cloister::base
