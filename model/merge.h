#pragma once

#include <filesystem>
#include <optional>

#include "base/result.h"
#include "model/write_model.h"

namespace cloister::model {

// Writes the model at `model` with a PEFT adapter folder merged into its weights: W + scale * B A,
// computed in fp32. Output formats and `type` are as for Convert; without `type` a merged tensor of
// a block type becomes F32 (its new values are no block's any more) and every other tensor keeps
// its type.
base::Result<WrittenModel> Merge(const std::filesystem::path& model,
                                 const std::filesystem::path& adapter,
                                 const std::filesystem::path& output, std::optional<DataType> type);

}  // namespace cloister::model
