#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "base/result.h"
#include "model/source_model.h"

namespace cloister::model {

// What to do with the tensors of a model that is written to another place.
struct WritePlan {
  std::string title;  // of the progress bar
  // The type that a matrix should have that is `stored` so. Types that the output cannot hold are
  // replaced: F8_E4M3 by BF16; blocks by F32 in a folder; in GGUF, vectors (norms) are F32, as
  // llama.cpp wants them, and rows that are no whole blocks have the type that TypeForRows gives.
  std::function<DataType(const std::string& name, DataType stored)> type;
  // Whether and how values change: W + scale B A. `change` is called from several threads at once,
  // for different rows.
  std::function<bool(const std::string& name)> changes;
  std::function<void(const std::string& name, std::int64_t row, std::span<float> values)> change;
  // Where the weights have more than this (0: no limit), they go to several files (NewGguf,
  // NewSafetensors). A GGUF output then has other names than the one asked for.
  std::uint64_t max_file_bytes = 0;
};

struct WrittenModel {
  std::string format;              // "gguf" or "huggingface"
  std::int64_t tensors = 0;        // in the file
  std::uint64_t bytes = 0;         // of the file, or of all files of the folder
  std::uint64_t weights = 0;       // numbers in the network's tensors
  std::uint64_t weight_bytes = 0;  // bytes of the tensors
};

// Writes `source` with its tokenizer and chat template to `output`: GGUF where it ends in .gguf, a
// Hugging Face folder otherwise. A few rows are in memory at a time. The output appears whole or
// not at all; an existing GGUF file is replaced, an existing folder is refused (kAlreadyExists)
// unless it is empty, since it may hold other things. kInvalidArgument for an output that names no
// model, or one part of a split one, which the other parts would no longer fit.
base::Result<WrittenModel> WriteModel(const SourceModel& source,
                                      const std::filesystem::path& output, const WritePlan& plan);

}  // namespace cloister::model
