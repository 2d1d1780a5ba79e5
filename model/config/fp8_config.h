#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/result.h"

namespace cloister::model {

// How a Hugging Face folder keeps its matrices in 8-bit floats (DeepSeek-V3, arXiv 2412.19437
// §3.3): X.weight is F8_E4M3 and X.weight_scale_inv holds an F32 for every block of
// block_rows x block_columns weights, by which they are multiplied.
struct Fp8Config {
  std::int64_t block_rows = 0;
  std::int64_t block_columns = 0;
};

// The quantization_config of a config.json; nothing where it has none. kUnimplemented, naming the
// field, for any other way of quantizing.
base::Result<std::optional<Fp8Config>> Fp8FromConfig(const nlohmann::json& config);

}  // namespace cloister::model
