#include "trainer/run/output_folder.h"

#include <unistd.h>

#include <string>
#include <system_error>
#include <utility>

namespace cloister::trainer {

namespace fs = std::filesystem;

base::Result<OutputFolder> OutputFolder::Create(const fs::path& final_path, bool abandoned) {
  std::error_code error;
  // "runs/x/" and "runs/x" are one folder.
  fs::path path = final_path.has_filename() ? final_path : final_path.parent_path();
  if (fs::exists(path, error)) {
    return base::Fail(base::Code::kAlreadyExists,
                      "output " + path.string() + " exists: name another folder or remove it");
  }
  fs::path temporary = path;
  temporary += ".tmp." + std::to_string(::getpid());
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

OutputFolder::OutputFolder(OutputFolder&& other) noexcept
    : final_(std::move(other.final_)), temporary_(std::exchange(other.temporary_, {})) {}

OutputFolder::~OutputFolder() {
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

base::Status OutputFolder::Commit() {
  std::error_code error;
  fs::rename(temporary_, final_, error);
  if (error) {
    return base::Fail(base::Code::kUnknown, "cannot rename " + temporary_.string() + " to " +
                                                final_.string() + " (" + error.message() +
                                                "): choose another output");
  }
  temporary_.clear();
  return {};
}

}  // namespace cloister::trainer
