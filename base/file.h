#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cloister::base {

// A file that appears whole or not at all: bytes go to a file without a name in the same folder,
// which a killed process leaves no trace of; Commit() flushes them, names them "<path>.tmp.<pid>",
// renames that over `path` and syncs the folder. Destroyed before Commit, it leaves any older
// `path` as it was. Where the file system has no files without names, the bytes are under the
// temporary name from the start; a killed process then leaves it until `path` is written again.
// Not thread-safe.
class AtomicFile {
 public:
  static constexpr unsigned kPublicMode = 0644;
  static constexpr unsigned kPrivateMode = 0600;  // keys and state that only the owner may read

  static Result<AtomicFile> Create(const std::filesystem::path& path, unsigned mode = kPublicMode);
  // What Create does where the file system has no files without names.
  static Result<AtomicFile> CreateNamed(const std::filesystem::path& path,
                                        unsigned mode = kPublicMode);

  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();

  Status Write(std::span<const std::byte> bytes);
  Status Write(std::string_view text);
  std::uint64_t size() const { return size_; }
  Status Commit();

 private:
  AtomicFile(int fd, std::filesystem::path path, bool named)
      : fd_(fd), path_(std::move(path)), named_(named) {}
  // Names, renames and closes; errno tells why not.
  bool Publish();

  int fd_ = -1;
  std::filesystem::path path_;
  bool named_;  // whether the bytes lie under TemporaryName(path_)
  std::uint64_t size_ = 0;
};

// "<path>.tmp.<pid>": where this process makes what becomes `path` by a rename.
std::filesystem::path TemporaryName(const std::filesystem::path& path);

// Makes a rename to `path` durable, where the file system can.
void SyncFolderOf(const std::filesystem::path& path);

// Where an output goes that is asked for at `path`: what a link there leads to (a rename would
// replace the link itself), "." and ".." resolved. kInvalidArgument for a link that leads nowhere.
Result<std::filesystem::path> ResolvedOutput(const std::filesystem::path& path);

// Removes the temporaries of `path`, files or folders, whose processes are gone.
void RemoveAbandonedTemporaries(const std::filesystem::path& path);

// AtomicFile in one call.
Status WriteFile(const std::filesystem::path& path, std::string_view text,
                 unsigned mode = AtomicFile::kPublicMode);

// The whole file, at most `limit` bytes. kNotFound when absent, kDataLoss when longer or when any
// of it cannot be read.
Result<std::string> ReadFile(const std::filesystem::path& path,
                             std::size_t limit = std::size_t{64} << 20);

// ReadFile of a part of something larger, such as a model's folder: a pipe or device in its place
// is kDataLoss and not waited for.
Result<std::string> ReadRegularFile(const std::filesystem::path& path,
                                    std::size_t limit = std::size_t{64} << 20);

}  // namespace cloister::base
