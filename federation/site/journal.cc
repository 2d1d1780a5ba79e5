#include "federation/site/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "security/primitives.h"

namespace cloister::federation::site {
namespace {

constexpr std::size_t kLargestJournal = std::size_t{1} << 30;
constexpr std::size_t kLargestRecord = std::size_t{1} << 16;
constexpr std::size_t kPrefix = 4 + 32;

struct Contents {
  std::vector<protocol::Bytes> records;
  std::size_t good = 0;  // bytes of whole records
};

tl::unexpected<base::Error> Failed(const std::filesystem::path& path, const std::string& what) {
  return base::Fail(base::Code::kDataLoss, path.string() + ": " + what + " (" +
                                               std::strerror(errno) +
                                               "): check the disk and its rights");
}

base::Result<Contents> Parse(protocol::ByteView bytes, const std::filesystem::path& path) {
  Contents contents;
  while (contents.good < bytes.size()) {
    const protocol::ByteView rest = bytes.subspan(contents.good);
    if (rest.size() < kPrefix) break;  // torn
    protocol::Reader reader(rest.first(kPrefix), "journal");
    const std::size_t size = reader.U32();
    const auto hash = reader.Array<32>();
    if (size > kLargestRecord) {
      return base::Fail(base::Code::kDataLoss,
                        path.string() +
                            ": damaged: restore it; without it this site must not "
                            "join jobs that it took part in");
    }
    if (rest.size() - kPrefix < size) break;  // torn
    const protocol::ByteView record = rest.subspan(kPrefix, size);
    const bool last = rest.size() - kPrefix == size;
    if (security::HashBytes(record) != hash) {
      if (last) break;  // torn: the length was written, the bytes were not
      return base::Fail(base::Code::kDataLoss,
                        path.string() +
                            ": damaged: restore it; without it this site must not "
                            "join jobs that it took part in");
    }
    contents.records.emplace_back(record.begin(), record.end());
    contents.good += kPrefix + size;
  }
  return contents;
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
  CLOISTER_ASSIGN_OR_RETURN(const std::string text, base::ReadFile(path, kLargestJournal));
  const protocol::ByteView bytes{reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
  CLOISTER_ASSIGN_OR_RETURN(Contents contents, Parse(bytes, path));
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
  return journal;
}

Journal::Journal(Journal&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      path_(std::move(other.path_)),
      records_(std::move(other.records_)) {}

Journal::~Journal() {
  if (fd_ >= 0) ::close(fd_);
}

base::Status Journal::Append(const protocol::Bytes& record) {
  protocol::Writer writer;
  writer.U32(static_cast<std::uint32_t>(record.size())).Fixed(security::HashBytes(record));
  writer.Fixed(record);
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
  return {};
}

base::Result<protocol::PastChoices> Journal::Past() const {
  auto past = protocol::PastChoices::FromRecords(records_);
  if (!past) return base::Annotate(std::move(past), path_.string());
  return past;
}

}  // namespace cloister::federation::site
