#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/result.h"
#include "model/gguf/gguf_file.h"

namespace cloister::model {

// The texts of a model's special tokens by the names that transformers gives them ("bos_token",
// "eos_token", …), without those that it has not, as an object. Reads neither vocabulary nor
// merges of a folder. kDataLoss where a file is malformed.
base::Result<nlohmann::ordered_json> SpecialTokenTextsOf(const std::filesystem::path& folder);
base::Result<nlohmann::ordered_json> SpecialTokenTextsOf(const GgufFile& file);

}  // namespace cloister::model
