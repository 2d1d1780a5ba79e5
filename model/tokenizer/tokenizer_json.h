#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "base/result.h"
#include "model/tokenizer/tokenizer_data.h"

namespace cloister::model {

// A Hugging Face folder's tokenizer: tokenizer.json, or where there is none SentencePiece's
// tokenizer.model, with tokenizer_config.json and special_tokens_map.json. BPE, byte-level or with
// byte fallback, and the steps of tokenizer_json_steps.h. `end_ids` is left empty. kNotFound naming
// the missing file, kUnimplemented naming a part that is not supported, kDataLoss otherwise.
base::Result<TokenizerData> TokenizerDataFromFolder(const std::filesystem::path& folder);

// The same of the files' content. `config` is an object, empty where there is no file.
base::Result<TokenizerData> TokenizerDataFromJson(const nlohmann::json& tokenizer,
                                                  const nlohmann::json& config);

// chat_template.jinja, or tokenizer_config.json's chat_template (of several, the one named
// "default"). kNotFound when there is none.
base::Result<std::string> ChatTemplateTextFromFolder(const std::filesystem::path& folder);

// The same files' content for `data`. Scores become the merge rules that they stand for.
// `chat_template` may be empty.
base::Result<nlohmann::ordered_json> TokenizerJson(const TokenizerData& data);
nlohmann::ordered_json TokenizerConfigJson(const TokenizerData& data,
                                           const std::string& chat_template);

}  // namespace cloister::model
