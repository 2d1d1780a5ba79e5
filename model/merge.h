#pragma once

#include <filesystem>
#include <optional>

#include "base/result.h"
#include "model/write_model.h"

namespace cloister::model {

// Writes the model at `model` with a PEFT adapter folder merged into its weights: W + scale * B A,
// computed in fp32, where W is the model's or what modules_to_save puts in its place. Output
// formats and `type` are as for Convert; without `type` a changed tensor of a block type becomes
// F32 (its new values are no block's any more) and every other tensor keeps its type. Errors of the
// adapter: as ReadAdapterChanges.
base::Result<WrittenModel> Merge(const std::filesystem::path& model,
                                 const std::filesystem::path& adapter,
                                 const std::filesystem::path& output, std::optional<DataType> type);

}  // namespace cloister::model
