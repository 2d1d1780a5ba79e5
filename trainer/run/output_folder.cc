#include "trainer/run/output_folder.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <string>
#include <system_error>
#include <utility>

#include "base/file.h"
#include "base/sync.h"

namespace cloister::trainer {

namespace fs = std::filesystem;

namespace {

constexpr const char* kTemporary = ".tmp.";  // and the number of the process that writes there

// Whether this is the name of what a process that no longer lives here began to write.
bool IsAbandoned(const std::string& name, const std::string& prefix) {
  if (!name.starts_with(prefix)) return false;
  pid_t process = 0;
  const char* const end = name.data() + name.size();
  const auto read = std::from_chars(name.data() + prefix.size(), end, process);
  if (read.ec != std::errc() || read.ptr != end || process <= 0) return false;
  return ::kill(process, 0) != 0 && errno == ESRCH;
}

// A folder with all that is in it.
std::error_code SyncAll(const fs::path& folder) {
  std::error_code walked;
  for (fs::recursive_directory_iterator i(folder, walked), end; !walked && i != end;
       i.increment(walked)) {
    if (!base::SyncPath(i->path())) return {errno, std::generic_category()};
  }
  if (!walked && !base::SyncPath(folder)) return {errno, std::generic_category()};
  return walked;
}

}  // namespace

base::Result<OutputFolder> OutputFolder::Create(const fs::path& final_path, bool abandoned) {
  std::error_code error;
  // "runs/x/" and "runs/x" are one folder.
  fs::path path = final_path.has_filename() ? final_path : final_path.parent_path();
  if (fs::exists(path, error)) {
    return base::Fail(base::Code::kAlreadyExists,
                      "output " + path.string() + " exists: name another folder or remove it");
  }
  fs::path temporary = path;
  temporary += kTemporary + std::to_string(::getpid());
  if (abandoned) fs::remove_all(temporary, error);
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), error);
  const bool made = !error && fs::create_directory(temporary, error);
  if (!made && !error) {  // it was there: what lies in it is not ours to rename or to remove
    return base::Fail(
        base::Code::kAlreadyExists,
        "folder " + temporary.string() + " was left by an earlier run: remove it and start again");
  }
  if (!made) {
    return base::Fail(base::Code::kUnknown, "cannot make " + temporary.string() + " (" +
                                                error.message() +
                                                "): choose an output where you may write");
  }
  return OutputFolder(std::move(path), std::move(temporary));
}

void OutputFolder::RemoveAbandoned() const {
  const std::string prefix = final_.filename().string() + kTemporary;
  const fs::path parent = final_.has_parent_path() ? final_.parent_path() : ".";
  std::error_code error, ignored;
  for (fs::directory_iterator i(parent, error), end; !error && i != end; i.increment(error)) {
    if (IsAbandoned(i->path().filename().string(), prefix)) fs::remove_all(i->path(), ignored);
  }
}

OutputFolder::OutputFolder(OutputFolder&& other) noexcept
    : final_(std::move(other.final_)), temporary_(std::exchange(other.temporary_, {})) {}

OutputFolder::~OutputFolder() {
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

base::Status OutputFolder::Reserve(std::uint64_t bytes) {
  const int fd = ::open(reserved().c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  const int error = fd < 0 ? errno : ::posix_fallocate(fd, 0, static_cast<off_t>(bytes));
  if (fd >= 0) ::close(fd);
  if (error == 0) return {};
  Release();
  return base::Fail(base::Code::kResourceExhausted,
                    "no room for the output (" + std::to_string((bytes >> 20) + 1) + " MiB, " +
                        std::generic_category().message(error) + "), " + final_.string() +
                        ": free the disk or name an output on another one");
}

void OutputFolder::Release() {
  std::error_code ignored;
  fs::remove(reserved(), ignored);
}

base::Status OutputFolder::Commit() {
  Release();
  std::error_code error = SyncAll(temporary_);
  if (!error) fs::rename(temporary_, final_, error);
  if (error) {
    return base::Fail(base::Code::kUnknown, "cannot bring " + temporary_.string() + " to " +
                                                final_.string() + " (" + error.message() +
                                                "): choose another output");
  }
  temporary_.clear();
  base::SyncFolderOf(final_);
  return {};
}

}  // namespace cloister::trainer
