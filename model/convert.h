#pragma once

#include <filesystem>
#include <optional>

#include "base/result.h"
#include "model/write_model.h"

namespace cloister::model {

// Copies the model at `input` to `output`, GGUF where that ends in .gguf and a Hugging Face folder
// otherwise (WriteModel has the rules). Without `type` tensors keep theirs where the format can
// hold it: blocks become F32 in a folder. `type` is kF32, kF16 or kBF16 (kInvalidArgument
// otherwise).
base::Result<WrittenModel> Convert(const std::filesystem::path& input,
                                   const std::filesystem::path& output,
                                   std::optional<DataType> type);

}  // namespace cloister::model
