#pragma once

#include <cstdint>
#include <filesystem>

#include "base/result.h"

namespace cloister::trainer {

// A folder that appears whole or not at all: files are written into path(), a folder beside the
// final one, which Commit() renames. Destroyed before, it leaves nothing.
class OutputFolder {
 public:
  // kAlreadyExists when `final_path` exists: results are never written over. `abandoned`: whether
  // what stands where this process would write is known to be a killed one's (of the same number,
  // as in a container), and is removed.
  static base::Result<OutputFolder> Create(const std::filesystem::path& final_path,
                                           bool abandoned = false);

  OutputFolder(OutputFolder&& other) noexcept;
  OutputFolder& operator=(OutputFolder&&) = delete;
  ~OutputFolder();

  const std::filesystem::path& path() const { return temporary_; }
  // Takes so much room on the disk, until Release() or the end: what a run ends with must not be
  // lost to a disk that others filled. kResourceExhausted where there is no such room.
  base::Status Reserve(std::uint64_t bytes);
  void Release();
  // Removes what killed processes left for the same output: for who goes on with their run and
  // knows that nobody else does.
  void RemoveAbandoned() const;
  // On the disk when it returns. On failure path() stays, and the destructor removes it.
  base::Status Commit();

 private:
  OutputFolder(std::filesystem::path final_path, std::filesystem::path temporary)
      : final_(std::move(final_path)), temporary_(std::move(temporary)) {}
  std::filesystem::path reserved() const { return temporary_ / "reserved"; }

  std::filesystem::path final_, temporary_;
};

}  // namespace cloister::trainer
