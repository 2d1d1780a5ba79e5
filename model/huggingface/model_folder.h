#pragma once

#include <cstdint>
#include <filesystem>

#include "base/result.h"
#include "model/source_model.h"

namespace cloister::model {

// A model folder that appears whole or not at all: files go to "<output>.tmp.<pid>", which Commit
// renames. Destroyed before Commit, it removes what was written; what a killed process left is
// removed when the same output is written again.
class ModelFolder {
 public:
  // kAlreadyExists when `output` is there and not an empty folder, kInvalidArgument when it is
  // empty.
  static base::Result<ModelFolder> Create(const std::filesystem::path& output);

  ModelFolder(ModelFolder&& other) noexcept;
  ModelFolder& operator=(ModelFolder&&) = delete;
  ~ModelFolder();

  const std::filesystem::path& path() const { return temporary_; }  // where to write
  // Returns the bytes of all files.
  base::Result<std::uint64_t> Commit();

 private:
  ModelFolder(std::filesystem::path output, std::filesystem::path temporary)
      : output_(std::move(output)), temporary_(std::move(temporary)) {}

  std::filesystem::path output_;
  std::filesystem::path temporary_;  // empty once committed
};

// config.json, generation_config.json and the tokenizer's files of `source`, into `folder`.
// `main_type` is the type of most weights.
base::Status WriteDescription(const SourceModel& source, const Architecture& architecture,
                              DataType main_type, const std::filesystem::path& folder);

}  // namespace cloister::model
