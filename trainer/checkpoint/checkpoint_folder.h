#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "trainer/checkpoint/checkpoint_file.h"

namespace cloister::trainer {

// The checkpoints of one run, step-<step>.checkpoint, and the sealed noise rows of single steps,
// step-<step>.noise, that a run with correlated noise needs beside them. One process has a folder
// at a time. One thread may be in Write() while another uses the noise's rows; else not
// thread-safe.
class CheckpointFolder {
 public:
  // For a run's start: removes noise rows without a checkpoint. kAlreadyExists where it holds
  // checkpoints.
  static base::Result<CheckpointFolder> Create(const std::filesystem::path& folder,
                                               std::int64_t keep);
  // To go on. kNotFound for a folder that is absent or holds no checkpoint; kUnavailable where
  // another process works in it.
  static base::Result<CheckpointFolder> Open(const std::filesystem::path& folder,
                                             std::int64_t keep);

  CheckpointFolder(CheckpointFolder&& other) noexcept;
  CheckpointFolder& operator=(CheckpointFolder&&) = delete;
  ~CheckpointFolder();

  const std::filesystem::path& path() const { return folder_; }

  // The last one that is whole; says on the log which ones are not, and removes them. kDataLoss
  // where none is; kUnavailable where one cannot be opened: what is only unreadable now must not be
  // passed over.
  base::Result<CheckpointFile> Newest();

  // That of this step. kNotFound where there is none; else errors as CheckpointFile::Open.
  base::Result<CheckpointFile> At(std::int64_t step) const;

  // Writes one, newer than all others, then removes the oldest beyond `keep`, but for the best one,
  // which its header names, and which is kept beside them. `key` as WriteCheckpoint.
  base::Status Write(const CheckpointHeader& header, const CheckpointArrays& arrays,
                     const security::SecretBytes* key);

  // Writes a row, then removes those that came before the last `needed`, at least one.
  base::Status WriteNoise(std::int64_t step, std::span<const std::uint8_t> sealed,
                          std::int64_t needed);
  void RemoveNoise();  // of a run that is done
  // The last rows that follow on one another, in order.
  base::Result<std::map<std::int64_t, std::vector<std::uint8_t>>> LastNoise() const;

 private:
  CheckpointFolder(std::filesystem::path folder, std::int64_t keep, int lock)
      : folder_(std::move(folder)), keep_(keep), lock_(lock) {}
  static base::Result<CheckpointFolder> Lock(const std::filesystem::path& folder,
                                             std::int64_t keep);
  std::vector<std::string> Names() const;
  void RemoveTemporaries();
  // Steps of the files with this ending, ascending.
  std::vector<std::int64_t> Steps(const std::string& ending) const;
  std::filesystem::path PathOf(std::int64_t step, const std::string& ending) const;

  std::filesystem::path folder_;
  std::int64_t keep_;
  int lock_ = -1;
};

}  // namespace cloister::trainer
