#include "model/tokenizer/tokenizer_json.h"

#include <limits>
#include <optional>
#include <utility>

#include "base/file.h"
#include "model/json_reader.h"
#include "model/tokenizer/pre_tokenizer.h"

namespace cloister::model {
namespace {

using base::Code;
using nlohmann::json;

constexpr std::int64_t kMaxTokens = std::int64_t{1} << 24;

tl::unexpected<base::Error> NotBuilt(const std::string& what) {
  return base::Fail(Code::kUnimplemented,
                    what + " is not supported: use a model with a byte-level BPE tokenizer");
}

std::string TypeOf(const json& part) {
  const auto found = part.is_object() ? part.find("type") : part.end();
  return part.is_object() && found != part.end() && found->is_string() ? found->get<std::string>()
                                                                       : std::string("unknown");
}

base::Status ReadNormalizer(const json& part, TokenizerData& data) {
  if (part.is_null()) return {};
  const std::string type = TypeOf(part);
  if (type == "NFC") {
    data.normalize_nfc = true;
    return {};
  }
  if (type == "Sequence" && part.contains("normalizers") && part["normalizers"].is_array()) {
    for (const json& inner : part["normalizers"]) {
      if (TypeOf(inner) == "Sequence") return NotBuilt("a nested normalizer");
      CLOISTER_RETURN_IF_ERROR(ReadNormalizer(inner, data));
    }
    return {};
  }
  return NotBuilt("normalizer '" + type + "'");
}

// A text as a pattern that matches it and nothing else.
std::string Quoted(const std::string& text) {
  std::string pattern = "\\Q";
  for (std::size_t i = 0; i < text.size(); ++i) {
    pattern += text[i];
    if (text[i] == '\\' && i + 1 < text.size() && text[i + 1] == 'E') pattern += "\\E\\\\E\\Q", ++i;
  }
  return pattern + "\\E";
}

base::Result<std::string> SplitPattern(const json& part) {
  CLOISTER_ASSIGN_OR_RETURN(const auto invert, OptionalBool(part, "invert"));
  CLOISTER_ASSIGN_OR_RETURN(const auto behavior, OptionalString(part, "behavior"));
  if (invert.value_or(false) || behavior.value_or("") != "Isolated") {
    return NotBuilt("pre_tokenizer Split with behavior '" + behavior.value_or("") + "'");
  }
  const auto pattern = part.find("pattern");
  if (pattern != part.end() && pattern->is_object()) {
    CLOISTER_ASSIGN_OR_RETURN(const auto regex, OptionalString(*pattern, "Regex"));
    if (regex) return *regex;
    CLOISTER_ASSIGN_OR_RETURN(const auto text, OptionalString(*pattern, "String"));
    if (text && !text->empty()) return Quoted(*text);
  }
  return base::Fail(Code::kDataLoss, "pre_tokenizer Split has no pattern");
}

// Adds the step's pattern; `byte_level` becomes true once the bytes get their letters.
base::Status ReadPreTokenizer(const json& part, bool& byte_level, TokenizerData& data) {
  const std::string type = TypeOf(part);
  if (type == "Sequence" && part.contains("pretokenizers") && part["pretokenizers"].is_array()) {
    for (const json& inner : part["pretokenizers"]) {
      if (TypeOf(inner) == "Sequence") return NotBuilt("a nested pre_tokenizer");
      CLOISTER_RETURN_IF_ERROR(ReadPreTokenizer(inner, byte_level, data));
    }
    return {};
  }
  if (byte_level) return NotBuilt("pre_tokenizer '" + type + "' after ByteLevel");
  if (type == "Split") {
    CLOISTER_ASSIGN_OR_RETURN(std::string pattern, SplitPattern(part));
    data.split_patterns.push_back(std::move(pattern));
    return {};
  }
  if (type == "Digits") {
    CLOISTER_ASSIGN_OR_RETURN(const auto single, OptionalBool(part, "individual_digits"));
    data.split_patterns.push_back(SingleDigitPattern() + (single.value_or(false) ? "" : "+"));
    return {};
  }
  if (type != "ByteLevel") return NotBuilt("pre_tokenizer '" + type + "'");
  CLOISTER_ASSIGN_OR_RETURN(const auto space, OptionalBool(part, "add_prefix_space"));
  if (space.value_or(true)) return NotBuilt("pre_tokenizer ByteLevel with add_prefix_space");
  CLOISTER_ASSIGN_OR_RETURN(const auto use_regex, OptionalBool(part, "use_regex"));
  if (use_regex.value_or(true)) data.split_patterns.push_back(ByteLevelPattern());
  byte_level = true;
  return {};
}

base::Status SetPiece(TokenizerData& data, const std::string& piece, const json& id,
                      TokenKind kind) {
  if (!id.is_number_integer() || id < 0 || id >= kMaxTokens) {
    return base::Fail(Code::kDataLoss, "token '" + piece + "' has no valid id");
  }
  const auto index = id.get<std::size_t>();
  if (index >= data.pieces.size()) {
    data.pieces.resize(index + 1);
    data.kinds.resize(index + 1, TokenKind::kUnused);
  }
  data.pieces[index] = piece;
  data.kinds[index] = kind;
  return {};
}

base::Status ReadMerges(const json& merges, TokenizerData& data) {
  if (!merges.is_array()) return base::Fail(Code::kDataLoss, "model.merges must be a list");
  data.merges.reserve(merges.size());
  for (const json& merge : merges) {
    if (merge.is_string()) {
      data.merges.push_back(merge.get<std::string>());
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      data.merges.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
    } else {
      return base::Fail(Code::kDataLoss, "model.merges must list pairs of pieces");
    }
  }
  return {};
}

base::Status ReadModel(const json& part, TokenizerData& data) {
  if (!part.is_object() || !part.contains("vocab") || !part["vocab"].is_object() ||
      !part.contains("merges") || (part.contains("type") && part["type"] != "BPE")) {
    return NotBuilt("tokenizer model '" + TypeOf(part) + "'");
  }
  CLOISTER_ASSIGN_OR_RETURN(const auto fallback, OptionalBool(part, "byte_fallback"));
  if (fallback.value_or(false)) return NotBuilt("model.byte_fallback");
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    CLOISTER_ASSIGN_OR_RETURN(const auto affix, OptionalString(part, name));
    if (!affix.value_or("").empty()) return NotBuilt(std::string("model.") + name);
  }
  CLOISTER_ASSIGN_OR_RETURN(const auto ignore_merges, OptionalBool(part, "ignore_merges"));
  data.ignore_merges = ignore_merges.value_or(false);
  // Ids may leave gaps, but not so many that a small file asks for a large table.
  const auto limit = static_cast<std::int64_t>(part["vocab"].size()) * 4 + 1024;
  for (const auto& [piece, id] : part["vocab"].items()) {
    if (id.is_number_integer() && id > limit) {
      return base::Fail(Code::kDataLoss, "token '" + piece + "' has an id that is far too large");
    }
    CLOISTER_RETURN_IF_ERROR(SetPiece(data, piece, id, TokenKind::kNormal));
  }
  return ReadMerges(part["merges"], data);
}

base::Status ReadAddedTokens(const json& list, TokenizerData& data) {
  if (list.is_null()) return {};
  if (!list.is_array()) return base::Fail(Code::kDataLoss, "added_tokens must be a list");
  const auto limit = static_cast<std::int64_t>(data.pieces.size() + list.size()) * 4 + 1024;
  for (const json& token : list) {
    if (!token.is_object() || !token.contains("id")) {
      return base::Fail(Code::kDataLoss, "added_tokens must list tokens with content and id");
    }
    CLOISTER_ASSIGN_OR_RETURN(const std::string content, RequiredString(token, "content"));
    for (const char* name : {"single_word", "lstrip", "rstrip"}) {
      CLOISTER_ASSIGN_OR_RETURN(const auto on, OptionalBool(token, name));
      if (on.value_or(false)) return NotBuilt("added token '" + content + "' with " + name);
    }
    if (token["id"].is_number_integer() && token["id"] > limit) {
      return base::Fail(Code::kDataLoss, "token '" + content + "' has an id that is far too large");
    }
    CLOISTER_ASSIGN_OR_RETURN(const auto special, OptionalBool(token, "special"));
    CLOISTER_RETURN_IF_ERROR(
        SetPiece(data, content, token["id"],
                 special.value_or(false) ? TokenKind::kControl : TokenKind::kUserDefined));
  }
  return {};
}

// The id of a special token, which is written as text or as an added token.
std::optional<TokenId> SpecialId(const json& config, const char* name, const TokenizerData& data) {
  const auto found = config.find(name);
  if (found == config.end()) return std::nullopt;
  const json content = found->is_object() ? found->value("content", json()) : *found;
  if (!content.is_string()) return std::nullopt;
  for (std::size_t id = 0; id < data.pieces.size(); ++id) {
    if (data.pieces[id] == content) return static_cast<TokenId>(id);
  }
  return std::nullopt;
}

// Whether the post-processor's template for one text starts with the token `bos`.
bool StartsWithBos(const json& part, const std::string& bos) {
  if (!part.is_object()) return false;
  if (TypeOf(part) == "Sequence" && part.contains("processors")) {
    for (const json& inner : part["processors"]) {
      if (TypeOf(inner) == "TemplateProcessing" && StartsWithBos(inner, bos)) return true;
    }
    return false;
  }
  if (TypeOf(part) != "TemplateProcessing" || !part.contains("single")) return false;
  const json& single = part["single"];
  if (!single.is_array() || single.empty() || !single[0].is_object()) return false;
  const auto special = single[0].find("SpecialToken");
  return special != single[0].end() && special->is_object() && special->contains("id") &&
         (*special)["id"] == bos;
}

base::Status ReadSpecialTokens(const json& tokenizer, const json& config, TokenizerData& data) {
  data.bos = SpecialId(config, "bos_token", data);
  data.eos = SpecialId(config, "eos_token", data);
  data.unknown = SpecialId(config, "unk_token", data);
  data.padding = SpecialId(config, "pad_token", data);
  CLOISTER_ASSIGN_OR_RETURN(const auto adds_bos, OptionalBool(config, "add_bos_token"));
  const bool by_template =
      data.bos && tokenizer.contains("post_processor") &&
      StartsWithBos(tokenizer["post_processor"], data.pieces[static_cast<std::size_t>(*data.bos)]);
  data.adds_bos = adds_bos.value_or(by_template);
  return {};
}

base::Result<TokenizerData> Read(const json& tokenizer, const json& config) {
  TokenizerData data;
  CLOISTER_RETURN_IF_ERROR(ReadNormalizer(tokenizer.value("normalizer", json()), data));
  bool byte_level = false;
  CLOISTER_RETURN_IF_ERROR(
      ReadPreTokenizer(tokenizer.value("pre_tokenizer", json()), byte_level, data));
  if (!byte_level) return NotBuilt("a pre_tokenizer without ByteLevel");
  CLOISTER_RETURN_IF_ERROR(ReadModel(tokenizer.value("model", json()), data));
  CLOISTER_RETURN_IF_ERROR(ReadAddedTokens(tokenizer.value("added_tokens", json()), data));
  CLOISTER_RETURN_IF_ERROR(ReadSpecialTokens(tokenizer, config, data));
  return data;
}

base::Result<json> ReadTokenizerConfig(const std::filesystem::path& folder) {
  std::error_code ignored;
  if (!std::filesystem::exists(folder / "tokenizer_config.json", ignored)) return json::object();
  return ReadJsonObject(folder / "tokenizer_config.json");
}

}  // namespace

base::Result<TokenizerData> TokenizerDataFromFolder(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "tokenizer.json";
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    return base::Fail(Code::kNotFound, path.string() +
                                           " does not exist: use ids, or put the model's "
                                           "tokenizer.json there");
  }
  CLOISTER_ASSIGN_OR_RETURN(const json tokenizer, ReadJsonObject(path));
  CLOISTER_ASSIGN_OR_RETURN(const json config, ReadTokenizerConfig(folder));
  base::Result<TokenizerData> data = Read(tokenizer, config);
  if (!data) return base::Annotate(std::move(data), path.string());
  return data;
}

base::Result<std::string> ChatTemplateTextFromFolder(const std::filesystem::path& folder) {
  std::error_code ignored;
  const std::filesystem::path alone = folder / "chat_template.jinja";
  if (std::filesystem::exists(alone, ignored)) return base::ReadFile(alone);
  CLOISTER_ASSIGN_OR_RETURN(const json config, ReadTokenizerConfig(folder));
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
