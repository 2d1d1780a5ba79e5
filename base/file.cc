#include "base/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

namespace cloister::base {
namespace {

std::string Reason() { return std::strerror(errno); }

}  // namespace

Result<AtomicFile> AtomicFile::Create(const std::filesystem::path& path, unsigned mode) {
  std::filesystem::path temporary = path;
  temporary += ".tmp." + std::to_string(::getpid());
  ::unlink(temporary.c_str());
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (fd < 0) {
    return Fail(errno == ENOENT ? Code::kNotFound : Code::kUnavailable,
                "cannot write " + path.string() + " (" + Reason() +
                    "): check that the folder exists and may be written");
  }
  return AtomicFile(fd, path, std::move(temporary));
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      size_(other.size_) {}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

Status AtomicFile::Write(std::span<const std::byte> bytes) {
  size_ += bytes.size();
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return Fail(Code::kUnavailable,
                  "cannot write " + path_.string() + " (" + Reason() + "): free some space");
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

Status AtomicFile::Write(std::string_view text) {
  return Write(std::as_bytes(std::span(text.data(), text.size())));
}

Status AtomicFile::Commit() {
  const bool synced = ::fsync(fd_) == 0;
  const bool closed = ::close(std::exchange(fd_, -1)) == 0;
  if (!synced || !closed || ::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const std::string reason = Reason();
    ::unlink(temporary_.c_str());
    return Fail(Code::kUnavailable, "cannot write " + path_.string() + " (" + reason + ")");
  }
  const std::filesystem::path folder = path_.has_parent_path() ? path_.parent_path() : ".";
  const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    ::fsync(directory);
    ::close(directory);
  }
  return {};
}

Status WriteFile(const std::filesystem::path& path, std::string_view text, unsigned mode) {
  CLOISTER_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path, mode));
  CLOISTER_RETURN_IF_ERROR(file.Write(text));
  return file.Commit();
}

Result<std::string> ReadFile(const std::filesystem::path& path, std::size_t limit) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    return Fail(Code::kNotFound, path.string() + " does not exist: check the path");
  }
  std::ifstream stream(path, std::ios::binary);
  if (!stream || std::filesystem::is_directory(path, ignored)) {
    return Fail(Code::kDataLoss, "cannot read " + path.string() + ": check its permissions");
  }
  std::string text;
  char buffer[65536];
  while (stream.read(buffer, sizeof buffer) || stream.gcount() > 0) {
    text.append(buffer, static_cast<std::size_t>(stream.gcount()));
    if (text.size() > limit) {
      return Fail(Code::kDataLoss, path.string() + " is longer than the " + std::to_string(limit) +
                                       " bytes allowed here");
    }
  }
  return text;
}

}  // namespace cloister::base
