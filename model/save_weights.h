#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <unordered_map>

#include "base/result.h"

namespace cloister::model {

// The model at `model` with other weights, as a Hugging Face folder at `output`, which must not
// exist or be empty: its description, tokenizer and chat template; each tensor of `values` in F32,
// row-major and of the tensor's own size (a CHECK); the others as they are, blocks in F32. Errors
// as WriteModel's; kDataLoss for a value that is not finite.
base::Status SaveWeights(const std::filesystem::path& model, const std::filesystem::path& output,
                         const std::unordered_map<std::string, std::span<const float>>& values);

}  // namespace cloister::model
