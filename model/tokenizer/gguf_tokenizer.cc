#include "model/tokenizer/gguf_tokenizer.h"

#include <limits>
#include <utility>

#include "model/tokenizer/pre_tokenizer.h"

namespace cloister::model {
namespace {

using base::Code;

base::Status CheckModel(const GgufFile& file) {
  CLOISTER_ASSIGN_OR_RETURN(const auto kind, file.String("tokenizer.ggml.model"));
  if (!kind || *kind == "none" || *kind == "no_vocab") {
    return base::Fail(Code::kNotFound, file.path().string() +
                                           " has no tokenizer (tokenizer.ggml.model): use ids, or "
                                           "a file with a vocabulary");
  }
  if (*kind != "gpt2") {
    return base::Fail(Code::kUnimplemented, file.path().string() + ": tokenizer.ggml.model '" +
                                                *kind +
                                                "' is not supported yet: byte-level BPE (gpt2) is");
  }
  return {};
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
      break;
  }
  return base::Fail(Code::kDataLoss, file.path().string() + ": tokenizer.ggml.token_type " +
                                         std::to_string(number) +
                                         " does not belong into a byte-level vocabulary");
}

base::Status ReadVocabulary(const GgufFile& file, TokenizerData& data) {
  CLOISTER_ASSIGN_OR_RETURN(const GgufStrings* tokens, file.Strings("tokenizer.ggml.tokens"));
  CLOISTER_ASSIGN_OR_RETURN(const GgufStrings* merges, file.Strings("tokenizer.ggml.merges"));
  CLOISTER_ASSIGN_OR_RETURN(const GgufIntegers* types, file.Integers("tokenizer.ggml.token_type"));
  if (tokens == nullptr || merges == nullptr) {
    return base::Fail(Code::kDataLoss,
                      file.path().string() + " has no " +
                          (tokens == nullptr ? "tokenizer.ggml.tokens" : "tokenizer.ggml.merges") +
                          ": fetch it again");
  }
  if (types != nullptr && types->size() != tokens->size()) {
    return base::Fail(Code::kDataLoss, file.path().string() +
                                           ": tokenizer.ggml.token_type and tokenizer.ggml.tokens "
                                           "differ in length: fetch it again");
  }
  data.pieces.assign(tokens->begin(), tokens->end());
  data.merges.assign(merges->begin(), merges->end());
  data.kinds.assign(tokens->size(), TokenKind::kNormal);
  for (std::size_t i = 0; types != nullptr && i < types->size(); ++i) {
    CLOISTER_ASSIGN_OR_RETURN(data.kinds[i], KindOf(file, (*types)[i]));
  }
  return {};
}

base::Result<std::optional<TokenId>> Id(const GgufFile& file, const std::string& name) {
  const std::string key = "tokenizer.ggml." + name + "_token_id";
  CLOISTER_ASSIGN_OR_RETURN(const auto id, file.Integer(key));
  if (!id) return std::optional<TokenId>();
  if (*id < 0 || *id > std::numeric_limits<TokenId>::max()) {
    return base::Fail(Code::kDataLoss, file.path().string() + ": " + key + " is no token id");
  }
  return std::optional(static_cast<TokenId>(*id));
}

}  // namespace

base::Result<TokenizerData> TokenizerDataFromGguf(const GgufFile& file) {
  CLOISTER_RETURN_IF_ERROR(CheckModel(file));
  CLOISTER_ASSIGN_OR_RETURN(const auto name, file.String("tokenizer.ggml.pre"));
  const std::optional<PreTokenizer> cut = FindPreTokenizer(name.value_or("default"));
  if (!cut) {
    return base::Fail(Code::kUnimplemented,
                      file.path().string() + ": tokenizer.ggml.pre '" + name.value_or("default") +
                          "' is not supported yet: smollm, gpt-2, llama-bpe, qwen2 and "
                          "deepseek-llm are");
  }
  TokenizerData data;
  CLOISTER_RETURN_IF_ERROR(ReadVocabulary(file, data));
  data.split_patterns = cut->patterns;
  data.ignore_merges = cut->ignore_merges;
  CLOISTER_ASSIGN_OR_RETURN(data.bos, Id(file, "bos"));
  CLOISTER_ASSIGN_OR_RETURN(data.eos, Id(file, "eos"));
  CLOISTER_ASSIGN_OR_RETURN(data.unknown, Id(file, "unknown"));
  CLOISTER_ASSIGN_OR_RETURN(data.padding, Id(file, "padding"));
  CLOISTER_ASSIGN_OR_RETURN(const auto adds_bos, file.Bool("tokenizer.ggml.add_bos_token"));
  data.adds_bos = adds_bos.value_or(cut->adds_bos);
  return data;
}

}  // namespace cloister::model
