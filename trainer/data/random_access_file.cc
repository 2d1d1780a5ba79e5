#include "trainer/data/random_access_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

namespace cloister::trainer {
namespace {

std::string Reason() { return std::strerror(errno); }

}  // namespace

base::Result<RandomAccessFile> RandomAccessFile::Open(const std::filesystem::path& path) {
  std::error_code ignored;
  const bool regular = std::filesystem::is_regular_file(path, ignored);
  const int fd = regular ? ::open(path.c_str(), O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) {
    return base::Fail(base::Code::kNotFound,
                      "cannot read " + path.string() + ": give a file of training records");
  }
  return RandomAccessFile(fd);
}

base::Result<RandomAccessFile> RandomAccessFile::Temporary() {
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::temp_directory_path(error);
  int fd = error ? -1 : ::open(folder.c_str(), O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
  if (fd < 0 && !error) {  // the file system has no files without names
    std::string name = (folder / "cloister-XXXXXX").string();
    fd = ::mkostemp(name.data(), O_CLOEXEC);
    if (fd >= 0) ::unlink(name.c_str());
  }
  if (fd < 0) {
    return base::Fail(base::Code::kUnavailable, "cannot write in the folder for temporary files (" +
                                                    (error ? error.message() : Reason()) +
                                                    "): name one that can be written in TMPDIR");
  }
  return RandomAccessFile(fd);
}

RandomAccessFile& RandomAccessFile::operator=(RandomAccessFile&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

RandomAccessFile::~RandomAccessFile() {
  if (fd_ >= 0) ::close(fd_);
}

base::Result<std::uint64_t> RandomAccessFile::Size() const {
  struct stat status {};
  if (::fstat(fd_, &status) != 0) {
    return base::Fail(base::Code::kDataLoss, "cannot read a file (" + Reason() + "): try again");
  }
  return static_cast<std::uint64_t>(status.st_size);
}

base::Result<std::size_t> RandomAccessFile::Read(std::uint64_t offset,
                                                 std::span<char> bytes) const {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got =
        ::pread(fd_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      return base::Fail(base::Code::kDataLoss,
                        "cannot be read (" + Reason() + "): check the disk that it lies on");
    }
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

base::Status RandomAccessFile::Write(std::uint64_t offset, std::span<const char> bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t put =
        ::pwrite(fd_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) {
      return base::Fail(base::Code::kUnavailable,
                        "cannot write a temporary file (" + Reason() +
                            "): make room, or name a folder that has some in TMPDIR");
    }
    done += static_cast<std::size_t>(put);
  }
  return {};
}

}  // namespace cloister::trainer
