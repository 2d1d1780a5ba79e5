#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/result.h"
#include "model/tokenizer/tokenizer_data.h"

namespace cloister::model {

// A folder's tokenizer_config.json, with what special_tokens_map.json names beyond it; an empty
// object where there is neither.
base::Result<nlohmann::json> TokenizerConfigOf(const std::filesystem::path& folder);

// Reads into `data`, whose vocabulary is there already, what a tokenizer_config.json says: which
// tokens begin and end a text and whether they are added (else the post-processor says so), and
// which are special or added. kUnimplemented naming a post-processor that is not supported.
base::Status ReadTokenizerConfig(const nlohmann::json& config, const nlohmann::json& post_processor,
                                 TokenizerData& data);

}  // namespace cloister::model
