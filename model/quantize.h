#pragma once

#include <filesystem>

#include "base/result.h"
#include "model/write_model.h"

namespace cloister::model {

// Writes the model at `model` to a GGUF file with its matrices, embeddings included, in the block
// type `type`, or in what TypeForRows gives for rows that are no whole blocks of it. Vectors stay
// F32. kInvalidArgument for another type or an output that does not end in .gguf.
base::Result<WrittenModel> QuantizeModel(const std::filesystem::path& model,
                                         const std::filesystem::path& output, DataType type);

}  // namespace cloister::model
