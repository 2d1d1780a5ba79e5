#include "base/file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>
#include <vector>

namespace cloister::base {
namespace {

std::string Reason() { return std::strerror(errno); }

std::filesystem::path FolderOf(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : ".";
}

std::string LinkOf(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

tl::unexpected<Error> CannotCreate(const std::filesystem::path& path) {
  return Fail(errno == ENOENT ? Code::kNotFound : Code::kUnavailable,
              "cannot write " + path.string() + " (" + Reason() +
                  "): check that the folder exists and may be written");
}

// A rename onto a folder fails; better told before the work than after it.
Status RefuseFolder(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(std::filesystem::symlink_status(path, ignored))) return {};
  return Fail(Code::kAlreadyExists, "cannot write " + path.string() +
                                        ": a folder has this name: remove it or choose another");
}

// The process that "<prefix><pid>" names, 0 where it is no such name.
pid_t OwnerOf(const std::string& name, const std::string& prefix) {
  if (!name.starts_with(prefix)) return 0;
  pid_t owner = 0;
  const char* const end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + prefix.size(), end, owner);
  return error == std::errc() && stop == end && owner > 0 ? owner : 0;
}

// All that `fd` gives, which is closed; of a failed open, errno is why.
Result<std::string> ReadOpened(int fd, const std::filesystem::path& path, std::size_t limit) {
  const auto cannot_read = [&path] {
    return Fail(Code::kDataLoss, "cannot read " + path.string() + " (" + Reason() +
                                     "): check its permissions and the disk");
  };
  if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
    return Fail(Code::kNotFound, path.string() + " does not exist: check the path");
  }
  if (fd < 0) return cannot_read();
  std::string text;
  char buffer[65536];
  ssize_t count = 0;
  while (text.size() <= limit) {
    count = ::read(fd, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    text.append(buffer, static_cast<std::size_t>(count));
  }
  const int read_errno = errno;
  ::close(fd);
  errno = read_errno;
  if (count < 0) return cannot_read();
  if (text.size() > limit) {
    return Fail(Code::kDataLoss, path.string() + " is longer than the " + std::to_string(limit) +
                                     " bytes allowed here: shorten it");
  }
  return text;
}

}  // namespace

std::filesystem::path TemporaryName(const std::filesystem::path& path) {
  std::filesystem::path temporary = path;
  temporary += ".tmp." + std::to_string(::getpid());
  return temporary;
}

void RemoveAbandonedTemporaries(const std::filesystem::path& path) {
  const std::string prefix = path.filename().string() + ".tmp.";
  std::vector<std::filesystem::path> abandoned;
  std::error_code ignored;
  for (std::filesystem::directory_iterator entry(FolderOf(path), ignored), end; entry != end;
       entry.increment(ignored)) {
    const pid_t owner = OwnerOf(entry->path().filename().string(), prefix);
    const bool gone = owner > 0 && ::kill(owner, 0) != 0 && errno == ESRCH;
    if (gone) abandoned.push_back(entry->path());
  }
  for (const std::filesystem::path& temporary : abandoned) {
    std::filesystem::remove_all(temporary, ignored);
  }
}

Result<AtomicFile> AtomicFile::Create(const std::filesystem::path& path, unsigned mode) {
  CLOISTER_RETURN_IF_ERROR(RefuseFolder(path));
  const int fd = ::open(FolderOf(path).c_str(), O_WRONLY | O_TMPFILE | O_CLOEXEC, mode);
  if (fd < 0) return CreateNamed(path, mode);
  if (::access(LinkOf(fd).c_str(), F_OK) != 0) {  // no /proc: it could not be named later
    ::close(fd);
    return CreateNamed(path, mode);
  }
  return AtomicFile(fd, path, false);
}

Result<AtomicFile> AtomicFile::CreateNamed(const std::filesystem::path& path, unsigned mode) {
  CLOISTER_RETURN_IF_ERROR(RefuseFolder(path));
  RemoveAbandonedTemporaries(path);
  const std::filesystem::path temporary = TemporaryName(path);
  ::unlink(temporary.c_str());
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (fd < 0) return CannotCreate(path);
  return AtomicFile(fd, path, true);
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      path_(std::move(other.path_)),
      named_(std::exchange(other.named_, false)),
      size_(other.size_) {}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
  if (named_) ::unlink(TemporaryName(path_).c_str());
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

bool AtomicFile::Publish() {
  if (::fsync(fd_) != 0) return false;
  const std::filesystem::path temporary = TemporaryName(path_);
  if (!named_) {
    ::unlink(temporary.c_str());
    if (::linkat(AT_FDCWD, LinkOf(fd_).c_str(), AT_FDCWD, temporary.c_str(), AT_SYMLINK_FOLLOW) !=
        0) {
      return false;
    }
    named_ = true;
  }
  if (::close(std::exchange(fd_, -1)) != 0) return false;
  if (::rename(temporary.c_str(), path_.c_str()) != 0) return false;
  named_ = false;
  return true;
}

Status AtomicFile::Commit() {
  if (!Publish()) {
    return Fail(Code::kUnavailable, "cannot write " + path_.string() + " (" + Reason() +
                                        "): check the folder's rights and the disk");
  }
  SyncFolderOf(path_);
  return {};
}

Result<std::filesystem::path> ResolvedOutput(const std::filesystem::path& path) {
  std::error_code error;
  const bool link = std::filesystem::is_symlink(path, error);
  if (!link && path.filename() != "." && path.filename() != "..") return path;
  std::filesystem::path resolved = std::filesystem::canonical(path, error);
  if (!error) return resolved;
  return Fail(Code::kInvalidArgument, path.string() + " is a link that leads nowhere (" +
                                          error.message() +
                                          "): remove it or choose another output");
}

void SyncFolderOf(const std::filesystem::path& path) {
  const int directory = ::open(FolderOf(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return;
  ::fsync(directory);
  ::close(directory);
}

Status WriteFile(const std::filesystem::path& path, std::string_view text, unsigned mode) {
  CLOISTER_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path, mode));
  CLOISTER_RETURN_IF_ERROR(file.Write(text));
  return file.Commit();
}

Result<std::string> ReadFile(const std::filesystem::path& path, std::size_t limit) {
  return ReadOpened(::open(path.c_str(), O_RDONLY | O_CLOEXEC), path, limit);
}

Result<std::string> ReadRegularFile(const std::filesystem::path& path, std::size_t limit) {
  // Asked of what was opened: a name may lead elsewhere a moment later.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  struct stat info {};
  const bool other = fd < 0 ? errno == ENXIO : ::fstat(fd, &info) == 0 && !S_ISREG(info.st_mode);
  if (!other) return ReadOpened(fd, path, limit);
  if (fd >= 0) ::close(fd);
  return Fail(Code::kDataLoss, path.string() + " is no regular file: put a file there");
}

}  // namespace cloister::base
