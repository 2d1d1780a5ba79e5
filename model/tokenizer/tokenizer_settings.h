#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "model/tokenizer/tokenizer_data.h"

namespace cloister::model {

// What a tokenizer does beyond its vocabulary, as a JSON text: the steps in tokenizer.json's words,
// the model's flags and the rules of added tokens. Under this key in a GGUF file.
inline constexpr char kSettingsKey[] = "cloister.tokenizer";
std::string SettingsText(const TokenizerData& data);

// Puts the settings of such a text in the place of those of `data`. kDataLoss or kUnimplemented, as
// tokenizer.json.
base::Status ReadSettings(std::string_view text, TokenizerData& data);

}  // namespace cloister::model
