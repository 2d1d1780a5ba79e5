#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "base/result.h"
#include "model/tokenizer/tokenizer_data.h"

namespace cloister::model {

// A Hugging Face folder's tokenizer.json and tokenizer_config.json: byte-level BPE with Split,
// Digits and ByteLevel pre-tokenizers, NFC or no normalizer. `end_ids` is left empty. kNotFound
// naming the missing file, kUnimplemented naming a part that is not supported, kDataLoss otherwise.
base::Result<TokenizerData> TokenizerDataFromFolder(const std::filesystem::path& folder);

// chat_template.jinja, or tokenizer_config.json's chat_template (of several, the one named
// "default"). kNotFound when there is none.
base::Result<std::string> ChatTemplateTextFromFolder(const std::filesystem::path& folder);

// The same files' content for `data`. `chat_template` may be empty.
base::Result<nlohmann::ordered_json> TokenizerJson(const TokenizerData& data);
nlohmann::ordered_json TokenizerConfigJson(const TokenizerData& data,
                                           const std::string& chat_template);

}  // namespace cloister::model
