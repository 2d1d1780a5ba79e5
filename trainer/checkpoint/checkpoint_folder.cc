#include "trainer/checkpoint/checkpoint_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/file.h"
#include "base/log.h"

namespace cloister::trainer {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCheckpoint = ".checkpoint";
constexpr const char* kNoise = ".noise";
constexpr const char* kDamaged = ".damaged";
constexpr const char* kBefore = "step-";
constexpr int kDigits = 9;

// When a step was done says how long it took, which its records show in.
void ForgetTime(const fs::path& path) {
  constexpr timespec kNone[2] = {};
  ::utimensat(AT_FDCWD, path.c_str(), kNone, 0);
}

}  // namespace

base::Result<CheckpointFolder> CheckpointFolder::Lock(const fs::path& folder, std::int64_t keep) {
  const int lock =
      ::open((folder / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock < 0) {
    return base::Fail(base::Code::kUnknown, "checkpoints " + folder.string() + " (" +
                                                std::strerror(errno) +
                                                "): name a folder where you may write");
  }
  CheckpointFolder locked(folder, keep, lock);
  if (::flock(lock, LOCK_EX | LOCK_NB) != 0) {
    const std::string why =
        errno == EWOULDBLOCK ? "another run works with them; wait for its end"
                             : "they cannot be locked (" + std::string(std::strerror(errno)) + ")";
    return base::Fail(base::Code::kUnavailable,
                      "checkpoints " + folder.string() + ": " + why + ", or name another folder");
  }
  locked.RemoveTemporaries();
  return locked;
}

base::Result<CheckpointFolder> CheckpointFolder::Create(const fs::path& folder, std::int64_t keep) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    return base::Fail(base::Code::kUnknown, "cannot make checkpoints.folder " + folder.string() +
                                                " (" + error.message() +
                                                "): name a folder where you may write");
  }
  CLOISTER_ASSIGN_OR_RETURN(CheckpointFolder made, Lock(folder, keep));
  if (!made.Steps(kCheckpoint).empty()) {
    return base::Fail(base::Code::kAlreadyExists,
                      "checkpoints.folder " + folder.string() +
                          " holds checkpoints of an earlier run: go on with it by --resume " +
                          folder.string() + ", or name another folder");
  }
  made.RemoveNoise();
  return made;
}

base::Result<CheckpointFolder> CheckpointFolder::Open(const fs::path& folder, std::int64_t keep) {
  std::error_code error;
  const auto none = [&folder] {
    return base::Fail(base::Code::kNotFound,
                      "--resume " + folder.string() +
                          ": there is no checkpoint; give the checkpoints.folder of a run");
  };
  if (!fs::is_directory(folder, error)) return none();
  CLOISTER_ASSIGN_OR_RETURN(CheckpointFolder found, Lock(folder, keep));
  if (found.Steps(kCheckpoint).empty()) return none();
  return found;
}

CheckpointFolder::CheckpointFolder(CheckpointFolder&& other) noexcept
    : folder_(std::move(other.folder_)),
      keep_(other.keep_),
      lock_(std::exchange(other.lock_, -1)) {}

CheckpointFolder::~CheckpointFolder() {
  if (lock_ >= 0) ::close(lock_);
}

std::vector<std::string> CheckpointFolder::Names() const {
  std::vector<std::string> names;
  std::error_code error;
  for (auto entry = fs::directory_iterator(folder_, error);
       !error && entry != fs::directory_iterator(); entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  return names;
}

// What a killed process left where files without names are unknown.
void CheckpointFolder::RemoveTemporaries() {
  std::error_code ignored;
  for (const std::string& name : Names()) {
    if (name.starts_with(kBefore) && name.find(".tmp.") != std::string::npos) {
      fs::remove(folder_ / name, ignored);
    }
  }
}

std::vector<std::int64_t> CheckpointFolder::Steps(const std::string& ending) const {
  std::vector<std::int64_t> steps;
  for (const std::string& name : Names()) {
    if (!name.starts_with(kBefore) || !name.ends_with(ending)) continue;
    std::int64_t step = -1;
    const char* const digits = name.data() + std::strlen(kBefore);
    const char* const end = name.data() + name.size() - ending.size();
    const auto [stopped, fault] = std::from_chars(digits, end, step);
    if (fault == std::errc() && stopped == end && step >= 0) steps.push_back(step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

fs::path CheckpointFolder::PathOf(std::int64_t step, const std::string& ending) const {
  std::string number = std::to_string(step);
  if (number.size() < kDigits) number.insert(0, kDigits - number.size(), '0');
  return folder_ / (kBefore + number + ending);
}

base::Result<CheckpointFile> CheckpointFolder::Newest() {
  const std::vector<std::int64_t> steps = Steps(kCheckpoint);
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    const fs::path path = PathOf(*step, kCheckpoint);
    const int readable = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (readable < 0) {
      return base::Fail(base::Code::kUnavailable, "checkpoint " + path.string() + " (" +
                                                      std::strerror(errno) +
                                                      "): it must be readable to go on");
    }
    ::close(readable);
    base::Result<CheckpointFile> file = CheckpointFile::Open(path);
    if (file && file->header().step == *step) return file;
    // Sound, but not ours to read: what it stands for is not lost.
    if (!file && file.error().code == base::Code::kUnimplemented) return file;
    base::LogWarning(file ? "checkpoint " + path.string() + " is of another step: passed over"
                          : file.error().message);
    // Out of the way of those that follow, but not gone.
    std::error_code ignored;
    fs::rename(path, path.string() + kDamaged, ignored);
  }
  return base::Fail(base::Code::kDataLoss, "--resume " + folder_.string() +
                                               ": no checkpoint is whole; start the run anew");
}

base::Status CheckpointFolder::Write(const CheckpointHeader& header, const CheckpointArrays& arrays,
                                     const security::SecretBytes* key) {
  const fs::path path = PathOf(header.step, kCheckpoint);
  CLOISTER_RETURN_IF_ERROR(WriteCheckpoint(path, header, arrays, key));
  ForgetTime(path);
  std::vector<std::int64_t> steps = Steps(kCheckpoint);
  if (header.best) std::erase(steps, header.best->step);
  std::error_code ignored;
  while (static_cast<std::int64_t>(steps.size()) > keep_ && steps.front() != header.step) {
    fs::remove(PathOf(steps.front(), kCheckpoint), ignored);
    steps.erase(steps.begin());
  }
  return {};
}

base::Result<CheckpointFile> CheckpointFolder::At(std::int64_t step) const {
  return CheckpointFile::Open(PathOf(step, kCheckpoint));
}

void CheckpointFolder::RemoveNoise() {
  std::error_code ignored;
  for (const std::int64_t step : Steps(kNoise)) fs::remove(PathOf(step, kNoise), ignored);
}

base::Status CheckpointFolder::WriteNoise(std::int64_t step, std::span<const std::uint8_t> sealed,
                                          std::int64_t needed) {
  const fs::path path = PathOf(step, kNoise);
  CLOISTER_RETURN_IF_ERROR(
      base::WriteFile(path, {reinterpret_cast<const char*>(sealed.data()), sealed.size()},
                      base::AtomicFile::kPrivateMode));
  ForgetTime(path);
  std::error_code ignored;
  for (const std::int64_t old : Steps(kNoise)) {
    if (old <= step - needed) fs::remove(PathOf(old, kNoise), ignored);
  }
  return {};
}

base::Result<std::map<std::int64_t, std::vector<std::uint8_t>>> CheckpointFolder::LastNoise()
    const {
  const std::vector<std::int64_t> steps = Steps(kNoise);
  std::map<std::int64_t, std::vector<std::uint8_t>> rows;
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    if (!rows.empty() && rows.begin()->first != *step + 1) break;
    CLOISTER_ASSIGN_OR_RETURN(const base::MappedFile file,
                              base::MappedFile::Open(PathOf(*step, kNoise)));
    const auto* const bytes = reinterpret_cast<const std::uint8_t*>(file.bytes().data());
    rows[*step].assign(bytes, bytes + file.bytes().size());
  }
  return rows;
}

}  // namespace cloister::trainer
