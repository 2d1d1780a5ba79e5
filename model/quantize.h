#pragma once

#include <filesystem>

#include "base/result.h"
#include "model/write_model.h"

namespace cloister::model {

// Writes the model at `model` to a GGUF file with its matrices, embeddings included, in `type`
// (kQ8_0, kQ4_0 or kQ4_1). Vectors stay F32; a matrix whose rows are no whole blocks becomes F16.
// kInvalidArgument for another type or an output that does not end in .gguf.
base::Result<WrittenModel> QuantizeModel(const std::filesystem::path& model,
                                         const std::filesystem::path& output, DataType type);

}  // namespace cloister::model
