#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cloister::base {

// A file that appears whole or not at all: bytes go to "<path>.tmp.<pid>" in the same folder;
// Commit() flushes them, syncs file and folder, and renames over `path`. Destroyed before Commit,
// it removes the temporary file and leaves any older `path` as it was. Not thread-safe.
class AtomicFile {
 public:
  static constexpr unsigned kPublicMode = 0644;
  static constexpr unsigned kPrivateMode = 0600;  // keys and state that only the owner may read

  static Result<AtomicFile> Create(const std::filesystem::path& path, unsigned mode = kPublicMode);

  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();

  Status Write(std::span<const std::byte> bytes);
  Status Write(std::string_view text);
  std::uint64_t size() const { return size_; }
  Status Commit();

 private:
  AtomicFile(int fd, std::filesystem::path path, std::filesystem::path temporary)
      : fd_(fd), path_(std::move(path)), temporary_(std::move(temporary)) {}

  int fd_ = -1;
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  std::uint64_t size_ = 0;
};

// AtomicFile in one call.
Status WriteFile(const std::filesystem::path& path, std::string_view text,
                 unsigned mode = AtomicFile::kPublicMode);

// The whole file, at most `limit` bytes. kNotFound when absent, kDataLoss when longer or
// unreadable.
Result<std::string> ReadFile(const std::filesystem::path& path,
                             std::size_t limit = std::size_t{64} << 20);

}  // namespace cloister::base
