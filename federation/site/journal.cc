#include "federation/site/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/file.h"
#include "base/log.h"
#include "security/primitives.h"

namespace cloister::federation::site {
namespace {

constexpr std::size_t kLargestJournal = std::size_t{1} << 30;
constexpr std::size_t kPrefix = 4 + 32;

struct Contents {
  std::vector<protocol::Bytes> records;
  security::Sha256Digest last{};
  std::size_t good = 0;  // bytes of whole records
};

tl::unexpected<base::Error> Failed(const std::filesystem::path& path, const std::string& what) {
  return base::Fail(base::Code::kDataLoss, path.string() + ": " + what + " (" +
                                               std::strerror(errno) +
                                               "): check the disk and its rights");
}

tl::unexpected<base::Error> Damaged(const std::filesystem::path& path, std::size_t record) {
  return base::Fail(base::Code::kDataLoss,
                    path.string() + ": record " + std::to_string(record) +
                        " is damaged: restore the file; without it this site must not join jobs "
                        "that it took part in");
}

// All records say one choice about one attempt.
std::size_t RecordBytes() { return protocol::StartRecord({}).size(); }

security::Sha256Digest ChainedHash(const security::Sha256Digest& before,
                                   protocol::ByteView record) {
  protocol::Writer writer;
  writer.Fixed(before).U32(static_cast<std::uint32_t>(record.size())).Fixed(record);
  return security::HashBytes(writer.bytes());
}

base::Result<Contents> Parse(protocol::ByteView bytes, const std::filesystem::path& path) {
  Contents contents;
  const std::size_t size = RecordBytes();
  // Less than a whole record at the end is torn; no length that the file states decides that.
  while (bytes.size() - contents.good >= kPrefix + size) {
    protocol::Reader reader(bytes.subspan(contents.good, kPrefix), "journal");
    const std::size_t stated = reader.U32();
    const auto hash = reader.Array<32>();
    const protocol::ByteView record = bytes.subspan(contents.good + kPrefix, size);
    if (stated != size || ChainedHash(contents.last, record) != hash) {
      return Damaged(path, contents.records.size() + 1);
    }
    contents.records.emplace_back(record.begin(), record.end());
    contents.last = hash;
    contents.good += kPrefix + size;
  }
  return contents;
}

// Also a folder or a file that was there with wider rights.
base::Status MakePrivate(const std::filesystem::path& folder, const std::filesystem::path& path,
                         int fd) {
  if (::chmod(folder.c_str(), 0700) != 0 || ::fchmod(fd, 0600) != 0) {
    return Failed(path, "cannot keep the state folder to its owner alone");
  }
  return {};
}

}  // namespace

base::Result<Journal> Journal::Open(const std::filesystem::path& folder) {
  std::error_code ignored;  // opening tells
  std::filesystem::create_directories(folder, ignored);
  const std::filesystem::path path = folder / "choices.journal";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return Failed(path, "cannot open the journal");
  Journal journal(fd, path, {});
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    return base::Fail(base::Code::kFailedPrecondition,
                      folder.string() +
                          ": another site daemon uses this state folder: stop it, or "
                          "give each its own --state");
  }
  CLOISTER_RETURN_IF_ERROR(MakePrivate(folder, path, fd));
  CLOISTER_ASSIGN_OR_RETURN(const std::string text, base::ReadFile(path, kLargestJournal));
  const protocol::ByteView bytes{reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
  CLOISTER_ASSIGN_OR_RETURN(Contents contents, Parse(bytes, path));
  struct stat status {};
  if (::fstat(fd, &status) != 0) return Failed(path, "cannot read the journal's size");
  if (static_cast<std::size_t>(status.st_size) != text.size()) {
    return base::Fail(base::Code::kDataLoss,
                      path.string() + ": only " + std::to_string(text.size()) + " of " +
                          std::to_string(status.st_size) + " bytes were read: check the disk");
  }
  if (contents.good < text.size()) {
    base::LogWarning(path.string() + ": cut off a record that a crash left unfinished");
    if (::ftruncate(fd, static_cast<off_t>(contents.good)) != 0) {
      return Failed(path, "cannot mend the journal");
    }
  }
  const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = directory >= 0 && ::fsync(directory) == 0 && ::fsync(fd) == 0;
  if (directory >= 0) ::close(directory);
  if (!synced) return Failed(path, "cannot sync the journal");
  journal.records_ = std::move(contents.records);
  journal.last_ = contents.last;
  return journal;
}

Journal::Journal(Journal&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      path_(std::move(other.path_)),
      records_(std::move(other.records_)),
      last_(other.last_) {}

Journal::~Journal() {
  if (fd_ >= 0) ::close(fd_);
}

base::Status Journal::Append(const protocol::Bytes& record) {
  CLOISTER_CHECK(record.size() == RecordBytes());
  const security::Sha256Digest hash = ChainedHash(last_, record);
  protocol::Writer writer;
  writer.U32(static_cast<std::uint32_t>(record.size())).Fixed(hash).Fixed(record);
  const protocol::Bytes& bytes = writer.bytes();
  const off_t end = ::lseek(fd_, 0, SEEK_END);
  std::size_t written = 0;
  while (written < bytes.size()) {
    const ssize_t result = ::write(fd_, bytes.data() + written, bytes.size() - written);
    if (result < 0 && errno == EINTR) continue;
    if (result <= 0) break;
    written += static_cast<std::size_t>(result);
  }
  if (end < 0 || written < bytes.size() || ::fdatasync(fd_) != 0) {
    auto failed = Failed(path_, "cannot write a choice");
    if (end >= 0 && ::ftruncate(fd_, end) != 0) {
      base::LogError(path_.string() + ": cannot take back a half-written choice");
    }
    return failed;
  }
  records_.push_back(record);
  last_ = hash;
  return {};
}

base::Result<protocol::PastChoices> Journal::Past() const {
  auto past = protocol::PastChoices::FromRecords(records_);
  if (!past) return base::Annotate(std::move(past), path_.string());
  return past;
}

}  // namespace cloister::federation::site
