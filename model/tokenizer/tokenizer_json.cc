#include "model/tokenizer/tokenizer_json.h"

#include <algorithm>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

#include "base/file.h"
#include "model/config/json_reader.h"
#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/sentencepiece_file.h"
#include "model/tokenizer/tokenizer_config.h"
#include "model/tokenizer/tokenizer_json_steps.h"
#include "model/tokenizer/utf8.h"

namespace cloister::model {
namespace {

using base::Code;
using nlohmann::json;

constexpr std::int64_t kMaxTokens = std::int64_t{1} << 24;

tl::unexpected<base::Error> NotBuilt(const std::string& what) {
  return base::Fail(Code::kUnimplemented,
                    what + " is not supported: use a model with a BPE tokenizer");
}

// Ids may leave gaps, but not so many that a small file asks for a large table.
base::Result<std::size_t> Index(const json& id, const std::string& piece, std::size_t tokens) {
  const auto limit = std::min(kMaxTokens, static_cast<std::int64_t>(tokens) * 4 + 1024);
  if (id.is_number_integer() && id >= 0 && id <= limit) return id.get<std::size_t>();
  return base::Fail(Code::kDataLoss,
                    "token '" + piece + "' has an id that is none or far too large");
}

base::Status SetPiece(TokenizerData& data, std::size_t id, const std::string& piece,
                      TokenKind kind) {
  if (id >= data.pieces.size()) {
    data.pieces.resize(id + 1);
    data.kinds.resize(id + 1, TokenKind::kUnused);
  }
  if (data.kinds[id] != TokenKind::kUnused && data.pieces[id] != piece) {
    return base::Fail(Code::kDataLoss, "tokens '" + data.pieces[id] + "' and '" + piece +
                                           "' have the same id " + std::to_string(id) +
                                           ": fetch the model again");
  }
  data.pieces[id] = piece;
  data.kinds[id] = kind;
  return {};
}

base::Status ReadVocabulary(const json& vocabulary, TokenizerData& data) {
  data.pieces.reserve(vocabulary.size());
  data.kinds.reserve(vocabulary.size());
  for (const auto& [piece, id] : vocabulary.items()) {
    CLOISTER_ASSIGN_OR_RETURN(const std::size_t index, Index(id, piece, vocabulary.size()));
    const bool byte = data.byte_fallback && FallbackByte(piece).has_value();
    CLOISTER_RETURN_IF_ERROR(
        SetPiece(data, index, piece, byte ? TokenKind::kByte : TokenKind::kNormal));
  }
  return {};
}

base::Result<Merge> ReadMerge(const json& merge) {
  if (merge.is_string()) {
    const auto& text = merge.get_ref<const std::string&>();
    const std::size_t space = text.find(' ');
    if (space != std::string::npos) {
      return Merge{text.substr(0, space) + text.substr(space + 1),
                   static_cast<std::uint32_t>(space)};
    }
  }
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    const auto& left = merge[0].get_ref<const std::string&>();
    return Merge{left + merge[1].get_ref<const std::string&>(),
                 static_cast<std::uint32_t>(left.size())};
  }
  return base::Fail(Code::kDataLoss, "model.merges must list pairs of pieces");
}

base::Status ReadModel(const json& part, TokenizerData& data) {
  const bool bpe = part.is_object() && part.contains("vocab") && part["vocab"].is_object() &&
                   part.contains("merges") && (!part.contains("type") || part["type"] == "BPE");
  if (!bpe) return NotBuilt("tokenizer model '" + TypeOf(part) + "'");
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    CLOISTER_ASSIGN_OR_RETURN(const auto affix, OptionalString(part, name));
    if (!affix.value_or("").empty()) return NotBuilt(std::string("model.") + name);
  }
  CLOISTER_ASSIGN_OR_RETURN(const auto dropout, OptionalNumber(part, "dropout"));
  if (dropout.value_or(0) != 0) return NotBuilt("model.dropout");
  CLOISTER_ASSIGN_OR_RETURN(const auto fallback, OptionalBool(part, "byte_fallback"));
  CLOISTER_ASSIGN_OR_RETURN(const auto ignore_merges, OptionalBool(part, "ignore_merges"));
  CLOISTER_ASSIGN_OR_RETURN(const auto fuses, OptionalBool(part, "fuse_unk"));
  data.byte_fallback = fallback.value_or(false);
  data.ignore_merges = ignore_merges.value_or(false);
  data.fuses_unknown = fuses.value_or(false);
  CLOISTER_RETURN_IF_ERROR(ReadVocabulary(part["vocab"], data));
  const json& merges = part["merges"];
  if (!merges.is_array()) return base::Fail(Code::kDataLoss, "model.merges must be a list");
  data.merges.reserve(merges.size());
  for (const json& merge : merges) {
    CLOISTER_ASSIGN_OR_RETURN(Merge read, ReadMerge(merge));
    data.merges.push_back(std::move(read));
  }
  CLOISTER_ASSIGN_OR_RETURN(const auto unknown, OptionalString(part, "unk_token"));
  if (unknown) {
    const auto id = part["vocab"].find(*unknown);
    if (id == part["vocab"].end()) {
      return base::Fail(Code::kDataLoss,
                        "model.unk_token '" + *unknown + "' is no token of the vocabulary");
    }
    data.unknown_character = id->get<TokenId>();
  }
  return {};
}

base::Result<AddedTokenRules> ReadRules(const json& token) {
  AddedTokenRules rules;
  for (const auto& [name, field] : {std::pair("lstrip", &rules.lstrip),
                                    {"rstrip", &rules.rstrip},
                                    {"single_word", &rules.single_word},
                                    {"normalized", &rules.normalized}}) {
    CLOISTER_ASSIGN_OR_RETURN(const auto on, OptionalBool(token, name));
    *field = on.value_or(false);
  }
  return rules;
}

// Added tokens that the vocabulary has as well are made by merges too, but whether they are matters
// only for those that merges name, that are one character or that need no merges.
void MarkMerged(TokenizerData& data, const std::set<TokenId>& in_vocabulary) {
  std::unordered_map<std::string_view, TokenId> candidates;
  std::set<TokenId> merged;
  for (const TokenId id : in_vocabulary) {
    const std::string& piece = data.pieces[static_cast<std::size_t>(id)];
    candidates.emplace(piece, id);
    if (data.ignore_merges || CharacterAt(piece, 0).size == piece.size()) merged.insert(id);
  }
  if (candidates.empty()) return;
  for (const Merge& merge : data.merges) {
    const std::string_view piece = merge.piece;
    for (const std::string_view part :
         {piece, piece.substr(0, merge.left), piece.substr(merge.left)}) {
      if (const auto found = candidates.find(part); found != candidates.end()) {
        merged.insert(found->second);
      }
    }
  }
  for (const TokenId id : merged) data.rules[id].merged = true;
}

base::Status ReadAddedTokens(const json& list, TokenizerData& data) {
  if (list.is_null()) return {};
  if (!list.is_array()) return base::Fail(Code::kDataLoss, "added_tokens must be a list");
  std::unordered_map<std::string, TokenId> vocabulary;
  for (std::size_t id = 0; id < data.pieces.size(); ++id) {
    if (data.kinds[id] != TokenKind::kUnused) {
      vocabulary.emplace(data.pieces[id], static_cast<TokenId>(id));
    }
  }
  const std::size_t tokens = data.pieces.size() + list.size();
  std::set<TokenId> in_vocabulary;
  for (const json& token : list) {
    if (!token.is_object() || !token.contains("id")) {
      return base::Fail(Code::kDataLoss, "added_tokens must list tokens with content and id");
    }
    CLOISTER_ASSIGN_OR_RETURN(const std::string content, RequiredString(token, "content"));
    if (content.empty()) continue;
    CLOISTER_ASSIGN_OR_RETURN(std::size_t id, Index(token["id"], content, tokens));
    CLOISTER_ASSIGN_OR_RETURN(const auto special, OptionalBool(token, "special"));
    CLOISTER_ASSIGN_OR_RETURN(const AddedTokenRules rules, ReadRules(token));
    // The vocabulary's own id counts.
    if (const auto known = vocabulary.find(content); known != vocabulary.end()) {
      id = static_cast<std::size_t>(known->second);
      in_vocabulary.insert(known->second);
    }
    CLOISTER_RETURN_IF_ERROR(
        SetPiece(data, id, content,
                 special.value_or(false) ? TokenKind::kControl : TokenKind::kUserDefined));
    if (rules != AddedTokenRules()) data.rules[static_cast<TokenId>(id)] = rules;
  }
  MarkMerged(data, in_vocabulary);
  return {};
}

}  // namespace

base::Result<TokenizerData> TokenizerDataFromJson(const json& tokenizer, const json& config) {
  if (!tokenizer.is_object()) {
    return base::Fail(Code::kDataLoss, "the tokenizer is no JSON object: fetch it again");
  }
  TokenizerData data;
  CLOISTER_ASSIGN_OR_RETURN(data.normalizer, ReadNormalizer(tokenizer.value("normalizer", json())));
  CLOISTER_ASSIGN_OR_RETURN(data.pre_tokenizer,
                            ReadPreTokenizer(tokenizer.value("pre_tokenizer", json())));
  CLOISTER_ASSIGN_OR_RETURN(data.decoder, ReadDecoder(tokenizer.value("decoder", json())));
  CLOISTER_RETURN_IF_ERROR(ReadModel(tokenizer.value("model", json()), data));
  CLOISTER_RETURN_IF_ERROR(ReadAddedTokens(tokenizer.value("added_tokens", json()), data));
  CLOISTER_RETURN_IF_ERROR(
      ReadTokenizerConfig(config, tokenizer.value("post_processor", json()), data));
  const bool byte_level = std::any_of(
      data.pre_tokenizer.begin(), data.pre_tokenizer.end(),
      [](const PreTokenizerStep& step) { return std::holds_alternative<ByteLevelStep>(step); });
  data.name = byte_level           ? "byte-level BPE"
              : data.byte_fallback ? "SentencePiece BPE"
                                   : "character BPE";
  return data;
}

base::Result<TokenizerData> TokenizerDataFromFolder(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "tokenizer.json";
  const std::filesystem::path sentencepiece = folder / "tokenizer.model";
  CLOISTER_ASSIGN_OR_RETURN(const json config, TokenizerConfigOf(folder));
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored)) {
    CLOISTER_ASSIGN_OR_RETURN(const json tokenizer, ReadJsonObject(path));
    base::Result<TokenizerData> data = TokenizerDataFromJson(tokenizer, config);
    if (!data) return base::Annotate(std::move(data), path.string());
    return data;
  }
  if (!std::filesystem::exists(sentencepiece, ignored)) {
    return base::Fail(Code::kNotFound, path.string() +
                                           " does not exist: use ids, or put the model's "
                                           "tokenizer.json there");
  }
  CLOISTER_ASSIGN_OR_RETURN(const std::string bytes, base::ReadRegularFile(sentencepiece));
  base::Result<TokenizerData> data = TokenizerDataFromSentencePiece(bytes);
  base::Status status = data ? base::Status() : base::Status(tl::unexpected(data.error()));
  if (data) status = ReadTokenizerConfig(config, json(), *data);
  if (!status) return base::Annotate(std::move(status), sentencepiece.string());
  return data;
}

}  // namespace cloister::model
