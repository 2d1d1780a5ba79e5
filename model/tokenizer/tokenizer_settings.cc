#include "model/tokenizer/tokenizer_settings.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/json.h"
#include "model/config/json_reader.h"
#include "model/tokenizer/tokenizer_json_steps.h"

namespace cloister::model {
namespace {

using base::Code;
using nlohmann::json;
using nlohmann::ordered_json;

// The rules of added tokens: {"id": ["lstrip", …]}.
constexpr std::pair<const char*, bool AddedTokenRules::*> kRules[] = {
    {"lstrip", &AddedTokenRules::lstrip},           {"rstrip", &AddedTokenRules::rstrip},
    {"single_word", &AddedTokenRules::single_word}, {"normalized", &AddedTokenRules::normalized},
    {"merged", &AddedTokenRules::merged},
};

constexpr std::pair<const char*, bool TokenizerData::*> kFlags[] = {
    {"added_verbatim", &TokenizerData::added_verbatim},
    {"byte_fallback", &TokenizerData::byte_fallback},
    {"fuse_unk", &TokenizerData::fuses_unknown},
    {"ignore_merges", &TokenizerData::ignore_merges},
};

base::Status ReadRules(const json& list, TokenizerData& data) {
  data.rules.clear();
  for (const auto& [key, names] : list.items()) {
    TokenId id = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || !names.is_array()) {
      return base::Fail(Code::kDataLoss, "rules of the token '" + key + "', which is none");
    }
    AddedTokenRules rules;
    for (const auto& [name, field] : kRules) {
      for (const json& one : names) rules.*field = rules.*field || one == name;
    }
    data.rules[id] = rules;
  }
  return {};
}

}  // namespace

std::string SettingsText(const TokenizerData& data) {
  ordered_json settings = {{"normalizer", NormalizerJson(data.normalizer)},
                           {"pre_tokenizer", PreTokenizerJson(data.pre_tokenizer)},
                           {"decoder", DecoderJson(data.decoder)}};
  for (const auto& [name, field] : kFlags) settings[name] = data.*field;
  settings["unk_id"] = data.unknown_character ? ordered_json(*data.unknown_character) : nullptr;
  ordered_json rules = ordered_json::object();
  for (const auto& [id, one] : data.rules) {
    ordered_json names = ordered_json::array();
    for (const auto& [name, field] : kRules) {
      if (one.*field) names.push_back(name);
    }
    rules[std::to_string(id)] = std::move(names);
  }
  settings["rules"] = std::move(rules);
  return settings.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

base::Status ReadSettings(std::string_view text, TokenizerData& data) {
  const json settings = base::ParseJson(text);
  if (!settings.is_object()) {
    return base::Fail(Code::kDataLoss, std::string(kSettingsKey) + " is no JSON object");
  }
  CLOISTER_ASSIGN_OR_RETURN(data.normalizer, ReadNormalizer(settings.value("normalizer", json())));
  CLOISTER_ASSIGN_OR_RETURN(data.pre_tokenizer,
                            ReadPreTokenizer(settings.value("pre_tokenizer", json())));
  CLOISTER_ASSIGN_OR_RETURN(data.decoder, ReadDecoder(settings.value("decoder", json())));
  for (const auto& [name, field] : kFlags) {
    CLOISTER_ASSIGN_OR_RETURN(const auto on, OptionalBool(settings, name));
    data.*field = on.value_or(false);
  }
  CLOISTER_ASSIGN_OR_RETURN(const auto unknown, OptionalInteger(settings, "unk_id"));
  data.unknown_character.reset();
  if (unknown) {
    if (*unknown < 0 || *unknown >= static_cast<std::int64_t>(data.pieces.size())) {
      return base::Fail(Code::kDataLoss, "unk_id lies outside of the vocabulary");
    }
    data.unknown_character = static_cast<TokenId>(*unknown);
  }
  return ReadRules(settings.value("rules", json::object()), data);
}

}  // namespace cloister::model
