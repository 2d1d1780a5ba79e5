#include "model/tokenizer/gguf_tokenizer.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/named_pre_tokenizers.h"
#include "model/tokenizer/tokenizer_settings.h"

namespace cloister::model {
namespace {

using base::Code;

tl::unexpected<base::Error> Damaged(const GgufFile& file, const std::string& what) {
  return base::Fail(Code::kDataLoss, file.path().string() + ": " + what + ": fetch it again");
}

base::Result<TokenKind> KindOf(const GgufFile& file, std::int64_t number) {
  switch (static_cast<GgufTokenType>(number)) {
    case GgufTokenType::kNormal:
      return TokenKind::kNormal;
    case GgufTokenType::kUnknown:
    case GgufTokenType::kControl:
      return TokenKind::kControl;
    case GgufTokenType::kUserDefined:
      return TokenKind::kUserDefined;
    case GgufTokenType::kUnused:
      return TokenKind::kUnused;
    case GgufTokenType::kByte:
      return TokenKind::kByte;
  }
  return Damaged(file, "tokenizer.ggml.token_type has " + std::to_string(number) +
                           ", which is no type of a token");
}

base::Status ReadTokens(const GgufFile& file, TokenizerData& data) {
  CLOISTER_ASSIGN_OR_RETURN(const GgufStrings* tokens, file.Strings("tokenizer.ggml.tokens"));
  CLOISTER_ASSIGN_OR_RETURN(const GgufIntegers* types, file.Integers("tokenizer.ggml.token_type"));
  if (tokens == nullptr) return Damaged(file, "it has no tokenizer.ggml.tokens");
  if (types != nullptr && types->size() != tokens->size()) {
    return Damaged(file, "tokenizer.ggml.token_type and tokenizer.ggml.tokens differ in length");
  }
  data.pieces.assign(tokens->begin(), tokens->end());
  data.kinds.assign(tokens->size(), TokenKind::kNormal);
  for (std::size_t i = 0; types != nullptr && i < types->size(); ++i) {
    CLOISTER_ASSIGN_OR_RETURN(data.kinds[i], KindOf(file, (*types)[i]));
  }
  for (std::size_t i = 0; i < data.pieces.size(); ++i) {
    if (data.pieces[i].empty()) data.kinds[i] = TokenKind::kUnused;
  }
  return {};
}

base::Status ReadMerges(const GgufFile& file, TokenizerData& data) {
  CLOISTER_ASSIGN_OR_RETURN(const GgufStrings* merges, file.Strings("tokenizer.ggml.merges"));
  if (merges == nullptr) return Damaged(file, "it has no tokenizer.ggml.merges");
  data.merges.reserve(merges->size());
  for (const std::string_view merge : *merges) {
    // A piece may be a space; then it comes first.
    const std::size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos) {
      return Damaged(file, "the merge '" + std::string(merge) + "' names no two pieces");
    }
    data.merges.push_back({std::string(merge.substr(0, space)).append(merge.substr(space + 1)),
                           static_cast<std::uint32_t>(space)});
  }
  return {};
}

base::Status ReadScores(const GgufFile& file, TokenizerData& data) {
  const auto found = file.metadata().find("tokenizer.ggml.scores");
  if (found != file.metadata().end()) {
    if (const auto* floats = std::get_if<GgufFloats>(&found->second)) {
      for (const double score : *floats) data.scores.push_back(static_cast<float>(score));
    } else if (const auto* integers = std::get_if<GgufIntegers>(&found->second)) {
      for (const std::int64_t score : *integers) data.scores.push_back(static_cast<float>(score));
    }
  }
  if (data.scores.size() < data.pieces.size()) {
    return Damaged(file, "tokenizer.ggml.scores does not give each token a score");
  }
  data.scores.resize(data.pieces.size());
  return {};
}

base::Result<std::optional<TokenId>> Id(const GgufFile& file, const std::string& name,
                                        const TokenizerData& data) {
  const std::string key = "tokenizer.ggml." + name + "_token_id";
  CLOISTER_ASSIGN_OR_RETURN(const auto id, file.Integer(key));
  if (!id) return std::optional<TokenId>();
  if (*id < 0 || *id >= static_cast<std::int64_t>(data.pieces.size())) {
    return Damaged(file, key + " lies outside of the vocabulary");
  }
  return std::optional(static_cast<TokenId>(*id));
}

// Where a SentencePiece vocabulary names no special tokens, they are its first three.
std::optional<TokenId> DefaultId(const TokenizerData& data, TokenId id) {
  const bool there = static_cast<std::size_t>(id) < data.pieces.size();
  return there ? std::optional(id) : std::nullopt;
}

base::Status ReadSentencePiece(const GgufFile& file, TokenizerData& data) {
  CLOISTER_RETURN_IF_ERROR(ReadScores(file, data));
  CLOISTER_ASSIGN_OR_RETURN(const auto prefix, file.Bool("tokenizer.ggml.add_space_prefix"));
  data.bos = DefaultId(data, 1);
  data.eos = DefaultId(data, 2);
  data.unknown = DefaultId(data, 0);
  data.adds_bos = true;
  data.byte_fallback = true;
  for (std::size_t id = 0; id < data.pieces.size(); ++id) {
    if (data.kinds[id] == TokenKind::kNormal && FallbackByte(data.pieces[id])) {
      data.kinds[id] = TokenKind::kByte;
    }
  }
  data.normalizer = SentencePieceNormalizer(prefix.value_or(true));
  data.decoder = SentencePieceDecoder(prefix.value_or(true));
  data.name = "SentencePiece BPE";
  return {};
}

base::Status ReadByteLevel(const GgufFile& file, TokenizerData& data) {
  CLOISTER_RETURN_IF_ERROR(ReadMerges(file, data));
  CLOISTER_ASSIGN_OR_RETURN(const auto name, file.String("tokenizer.ggml.pre"));
  const NamedPreTokenizer* cut = FindPreTokenizer(name.value_or("default"));
  if (cut == nullptr) {
    std::string known;
    for (const std::string& one : PreTokenizerNames()) known += (known.empty() ? "" : ", ") + one;
    return base::Fail(Code::kUnimplemented, file.path().string() + ": tokenizer.ggml.pre '" +
                                                *name + "' is not supported, these are: " + known);
  }
  data.pre_tokenizer = cut->steps;
  data.ignore_merges = cut->ignore_merges;
  data.adds_bos = cut->adds_bos;
  data.decoder = {ByteLevelDecoding{}};
  data.name = "byte-level BPE";
  return {};
}

base::Status ReadSpecialTokens(const GgufFile& file, TokenizerData& data) {
  for (const auto& [name, field] : {std::pair("bos", &data.bos),
                                    {"eos", &data.eos},
                                    {"unknown", &data.unknown},
                                    {"padding", &data.padding}}) {
    CLOISTER_ASSIGN_OR_RETURN(const auto id, Id(file, name, data));
    if (id) *field = id;
  }
  for (const char* name : {"eot", "eom"}) {
    CLOISTER_ASSIGN_OR_RETURN(const auto id, Id(file, name, data));
    if (id) data.end_ids.push_back(*id);
  }
  CLOISTER_ASSIGN_OR_RETURN(const auto adds_bos, file.Bool("tokenizer.ggml.add_bos_token"));
  CLOISTER_ASSIGN_OR_RETURN(const auto adds_eos, file.Bool("tokenizer.ggml.add_eos_token"));
  data.adds_bos = adds_bos.value_or(data.adds_bos);
  data.adds_eos = adds_eos.value_or(false);
  return {};
}

}  // namespace

base::Result<TokenizerData> TokenizerDataFromGguf(const GgufFile& file) {
  CLOISTER_ASSIGN_OR_RETURN(const auto kind, file.String("tokenizer.ggml.model"));
  if (!kind || *kind == "none" || *kind == "no_vocab") {
    return base::Fail(Code::kNotFound, file.path().string() +
                                           " has no tokenizer (tokenizer.ggml.model): use ids, or "
                                           "a file with a vocabulary");
  }
  TokenizerData data;
  data.added_verbatim = true;
  if (*kind != "gpt2" && *kind != "llama") {
    return base::Fail(Code::kUnimplemented,
                      file.path().string() + ": tokenizer.ggml.model '" + *kind +
                          "' is not supported: byte-level BPE (gpt2) and SentencePiece BPE (llama) "
                          "are");
  }
  CLOISTER_RETURN_IF_ERROR(ReadTokens(file, data));
  if (*kind == "gpt2") {
    CLOISTER_RETURN_IF_ERROR(ReadByteLevel(file, data));
  } else {
    CLOISTER_RETURN_IF_ERROR(ReadSentencePiece(file, data));
  }
  CLOISTER_RETURN_IF_ERROR(ReadSpecialTokens(file, data));
  if (*kind == "llama") data.unknown_character = data.unknown;
  CLOISTER_ASSIGN_OR_RETURN(const auto settings, file.String(kSettingsKey));
  if (settings) {
    base::Status read = ReadSettings(*settings, data);
    if (!read) return base::Annotate(std::move(read), file.path().string());
  }
  return data;
}

}  // namespace cloister::model
