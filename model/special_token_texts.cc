#include "model/special_token_texts.h"

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "model/tokenizer/tokenizer_config.h"

namespace cloister::model {

using nlohmann::json;
using nlohmann::ordered_json;

base::Result<ordered_json> SpecialTokenTextsOf(const std::filesystem::path& folder) {
  CLOISTER_ASSIGN_OR_RETURN(const json config, TokenizerConfigOf(folder));
  ordered_json texts = ordered_json::object();
  for (const char* name : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token",
                           "cls_token", "mask_token"}) {
    const auto token = config.find(name);
    if (token == config.end()) continue;
    const json text = token->is_object() ? token->value("content", json()) : *token;
    if (text.is_string()) texts[name] = text.get<std::string>();
  }
  return texts;
}

base::Result<ordered_json> SpecialTokenTextsOf(const GgufFile& file) {
  static constexpr std::array<std::pair<const char*, const char*>, 7> kNames = {
      {{"bos_token", "tokenizer.ggml.bos_token_id"},
       {"eos_token", "tokenizer.ggml.eos_token_id"},
       {"unk_token", "tokenizer.ggml.unknown_token_id"},
       {"sep_token", "tokenizer.ggml.seperator_token_id"},  // as GGUF spells it
       {"pad_token", "tokenizer.ggml.padding_token_id"},
       {"cls_token", "tokenizer.ggml.cls_token_id"},
       {"mask_token", "tokenizer.ggml.mask_token_id"}}};
  CLOISTER_ASSIGN_OR_RETURN(const GgufStrings* tokens, file.Strings("tokenizer.ggml.tokens"));
  ordered_json texts = ordered_json::object();
  if (tokens == nullptr) return texts;
  for (const auto& [name, key] : kNames) {
    CLOISTER_ASSIGN_OR_RETURN(const auto id, file.Integer(key));
    if (!id || *id < 0 || static_cast<std::size_t>(*id) >= tokens->size()) continue;
    texts[name] = std::string((*tokens)[static_cast<std::size_t>(*id)]);
  }
  return texts;
}

}  // namespace cloister::model
