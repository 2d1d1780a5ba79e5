#include "model/tokenizer/tokenizer_config.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/file.h"
#include "model/config/json_reader.h"
#include "model/tokenizer/tokenizer_json.h"
#include "model/tokenizer/tokenizer_json_steps.h"

namespace cloister::model {
namespace {

using base::Code;
using nlohmann::json;
using PieceIds = std::unordered_map<std::string, TokenId>;

// The content of a token that is written as text or as an object.
std::optional<std::string> Content(const json& token) {
  const json& content = token.is_object() && token.contains("content") ? token["content"] : token;
  if (!content.is_string()) return std::nullopt;
  return content.get<std::string>();
}

bool Flag(const json& token, const char* name) {
  const auto found = token.is_object() ? token.find(name) : token.end();
  return token.is_object() && found != token.end() && found->is_boolean() && found->get<bool>();
}

PieceIds IdsOf(const TokenizerData& data) {
  PieceIds ids;
  // An added token before a normal one of the same text.
  for (const bool added : {true, false}) {
    for (std::size_t id = 0; id < data.pieces.size(); ++id) {
      if (data.kinds[id] != TokenKind::kUnused && data.IsAdded(id) == added) {
        ids.emplace(data.pieces[id], static_cast<TokenId>(id));
      }
    }
  }
  return ids;
}

// Makes a token one that stands in text, found by these rules in place of any that it had. One that
// was special stays so: tokenizers only ever adds to its set of special tokens.
void MakeAdded(TokenizerData& data, TokenId id, bool special, AddedTokenRules rules) {
  const auto index = static_cast<std::size_t>(id);
  TokenKind& kind = data.kinds[index];
  const auto old = data.rules.find(id);
  rules.merged = data.IsAdded(index) ? old != data.rules.end() && old->second.merged
                                     : kind == TokenKind::kNormal;
  kind = special || kind == TokenKind::kControl ? TokenKind::kControl : TokenKind::kUserDefined;
  if (rules != AddedTokenRules()) {
    data.rules[id] = rules;
  } else if (old != data.rules.end()) {
    data.rules.erase(old);
  }
}

// A token's own flags. What is not said of `normalized` is the opposite of `special`.
AddedTokenRules RulesOf(const json& token) {
  const bool says = token.is_object() && token.contains("normalized");
  return {Flag(token, "lstrip"), Flag(token, "rstrip"), Flag(token, "single_word"),
          says ? Flag(token, "normalized") : !Flag(token, "special"), false};
}

// added_tokens_decoder: tokens by id. Transformers adds them again to those of tokenizer.json, so
// that of a token which both have it is this that counts.
base::Status ReadAddedTokensDecoder(const json& list, TokenizerData& data, PieceIds& ids) {
  if (!list.is_object()) return {};
  const std::size_t limit = (data.pieces.size() + list.size()) * 4 + 1024;
  for (const auto& [key, token] : list.items()) {
    std::size_t id = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    const auto content = Content(token);
    const bool whole = error == std::errc() && end == key.data() + key.size();
    if (!whole || !content || content->empty() || id > limit) {
      return base::Fail(Code::kDataLoss,
                        "added_tokens_decoder has the token '" + key + "', which is none");
    }
    const AddedTokenRules rules = RulesOf(token);
    const auto known = ids.find(*content);
    if (known != ids.end()) {
      MakeAdded(data, known->second, Flag(token, "special"), rules);
      continue;
    }
    if (id >= data.pieces.size()) {
      data.pieces.resize(id + 1);
      data.kinds.resize(id + 1, TokenKind::kUnused);
      if (!data.scores.empty()) data.scores.resize(id + 1);
    }
    // A taken place: SentencePiece vocabularies hold some that a configuration names anew; of
    // others transformers gives the token another id, which the model does not have.
    if (data.kinds[id] != TokenKind::kUnused && data.scores.empty()) continue;
    data.pieces[id] = *content;
    data.kinds[id] = TokenKind::kUnused;
    MakeAdded(data, static_cast<TokenId>(id), Flag(token, "special"), rules);
    ids.emplace(*content, static_cast<TokenId>(id));
  }
  return {};
}

std::optional<TokenId> SpecialId(const json& config, const char* name, const PieceIds& ids) {
  const auto found = config.find(name);
  const auto content = found == config.end() ? std::nullopt : Content(*found);
  if (!content) return std::nullopt;
  const auto id = ids.find(*content);
  return id == ids.end() ? std::nullopt : std::optional(id->second);
}

// Tokens that a configuration names are special, as transformers has it. Those that are added
// already keep their rules.
void MakeNamedSpecial(const json& config, TokenizerData& data, const PieceIds& ids) {
  const auto make = [&](const json& token, bool again) {
    const auto content = Content(token);
    const auto id = content ? ids.find(*content) : ids.end();
    if (id == ids.end()) return;
    const auto index = static_cast<std::size_t>(id->second);
    if (data.IsAdded(index)) {
      if (again) data.kinds[index] = TokenKind::kControl;
      return;
    }
    MakeAdded(
        data, id->second, true,
        {Flag(token, "lstrip"), Flag(token, "rstrip"), Flag(token, "single_word"), false, false});
  };
  for (const char* name : {"bos_token", "eos_token", "unk_token", "pad_token", "sep_token",
                           "cls_token", "mask_token"}) {
    if (const auto found = config.find(name); found != config.end()) {
      make(*found, true);
    }
  }
  for (const char* name : {"additional_special_tokens", "extra_special_tokens"}) {
    const auto found = config.find(name);
    if (found == config.end() || !found->is_array()) continue;
    for (const json& token : *found) make(token, false);
  }
}

// Which special tokens a post-processor puts before and behind one text.
struct Frame {
  std::optional<std::string> first;
  std::optional<std::string> last;
};

std::optional<std::string> SpecialTokenOf(const json& item) {
  const auto special = item.is_object() ? item.find("SpecialToken") : item.end();
  if (!item.is_object() || special == item.end() || !special->is_object()) return std::nullopt;
  const auto id = special->find("id");
  if (id == special->end() || !id->is_string()) return std::nullopt;
  return id->get<std::string>();
}

base::Result<Frame> FrameOf(const json& part, int depth = 0) {
  Frame frame;
  const std::string type = TypeOf(part);
  if (part.is_null() || type == "ByteLevel") return frame;
  if (type == "Sequence" && part.contains("processors") && part["processors"].is_array() &&
      depth < 8) {
    for (const json& inner : part["processors"]) {
      CLOISTER_ASSIGN_OR_RETURN(Frame one, FrameOf(inner, depth + 1));
      if (one.first) frame.first = std::move(one.first);
      if (one.last) frame.last = std::move(one.last);
    }
    return frame;
  }
  if (type == "TemplateProcessing") {
    const auto single = part.find("single");
    if (single == part.end() || !single->is_array() || single->empty()) return frame;
    frame.first = SpecialTokenOf(single->front());
    if (single->size() > 1) frame.last = SpecialTokenOf(single->back());
    return frame;
  }
  if (type == "BertProcessing" || type == "RobertaProcessing") {
    const auto token = [&](const char* name) -> std::optional<std::string> {
      const auto found = part.find(name);
      if (found == part.end() || !found->is_array() || found->empty()) return std::nullopt;
      return Content(found->front());
    };
    return Frame{token("cls"), token("sep")};
  }
  return base::Fail(Code::kUnimplemented, "post_processor '" + type +
                                              "' is not supported: use a model with another "
                                              "tokenizer");
}

base::Result<json> ReadOptional(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return json::object();
  return ReadJsonObject(path);
}

}  // namespace

base::Result<json> TokenizerConfigOf(const std::filesystem::path& folder) {
  CLOISTER_ASSIGN_OR_RETURN(json config, ReadOptional(folder / "tokenizer_config.json"));
  CLOISTER_ASSIGN_OR_RETURN(const json map, ReadOptional(folder / "special_tokens_map.json"));
  for (const auto& [name, token] : map.items()) {
    if (!config.contains(name)) config[name] = token;
  }
  return config;
}

base::Status ReadTokenizerConfig(const json& config, const json& post_processor,
                                 TokenizerData& data) {
  PieceIds ids = IdsOf(data);
  CLOISTER_RETURN_IF_ERROR(
      ReadAddedTokensDecoder(config.value("added_tokens_decoder", json()), data, ids));
  MakeNamedSpecial(config, data, ids);
  CLOISTER_ASSIGN_OR_RETURN(const Frame frame, FrameOf(post_processor));
  const auto id_of = [&](const std::optional<std::string>& piece) -> std::optional<TokenId> {
    const auto found = piece ? ids.find(*piece) : ids.end();
    return found == ids.end() ? std::nullopt : std::optional(found->second);
  };
  // What a file does not speak of, the post-processor's template may show.
  const auto named = [&](const char* name, const std::optional<TokenId>& otherwise) {
    return config.contains(name) ? SpecialId(config, name, ids) : otherwise;
  };
  data.bos = named("bos_token", data.bos ? data.bos : id_of(frame.first));
  data.eos = named("eos_token", data.eos ? data.eos : id_of(frame.last));
  data.unknown = named("unk_token", data.unknown ? data.unknown : data.unknown_character);
  data.padding = named("pad_token", data.padding);
  CLOISTER_ASSIGN_OR_RETURN(const auto adds_bos, OptionalBool(config, "add_bos_token"));
  CLOISTER_ASSIGN_OR_RETURN(const auto adds_eos, OptionalBool(config, "add_eos_token"));
  const bool template_bos = data.bos && id_of(frame.first) == data.bos;
  const bool template_eos = data.eos && id_of(frame.last) == data.eos;
  data.adds_bos = adds_bos.value_or(template_bos || data.adds_bos);
  data.adds_eos = adds_eos.value_or(template_eos || data.adds_eos);
  return {};
}

base::Result<std::string> ChatTemplateTextFromFolder(const std::filesystem::path& folder) {
  std::error_code ignored;
  const std::filesystem::path alone = folder / "chat_template.jinja";
  if (std::filesystem::exists(alone, ignored)) return base::ReadRegularFile(alone);
  CLOISTER_ASSIGN_OR_RETURN(const json config, ReadOptional(folder / "tokenizer_config.json"));
  const json field = config.value("chat_template", json());
  if (field.is_string()) return field.get<std::string>();
  if (field.is_array()) {
    for (const json& one : field) {
      if (one.is_object() && one.value("name", json()) == "default" && one.contains("template") &&
          one["template"].is_string()) {
        return one["template"].get<std::string>();
      }
    }
  }
  return base::Fail(Code::kNotFound, (folder / "tokenizer_config.json").string() +
                                         " has no chat_template: use a model that was tuned for "
                                         "chat, or a plain prompt");
}

}  // namespace cloister::model
