#include <algorithm>
#include <string>
#include <unordered_set>
#include <vector>

#include "model/tokenizer/bpe_model.h"
#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/gguf_tokenizer.h"
#include "model/tokenizer/merges_from_scores.h"
#include "model/tokenizer/named_pre_tokenizers.h"
#include "model/tokenizer/tokenizer_settings.h"

namespace cloister::model {
namespace {

using base::Code;

tl::unexpected<base::Error> NoWords(const std::string& what) {
  return base::Fail(Code::kUnimplemented,
                    "GGUF has no words for " + what + ": keep the model as a folder");
}

GgufTokenType TypeOf(const TokenizerData& data, std::size_t id) {
  switch (data.kinds[id]) {
    case TokenKind::kNormal:
      return GgufTokenType::kNormal;
    case TokenKind::kByte:
      return GgufTokenType::kByte;
    case TokenKind::kControl:
      return data.unknown_character == static_cast<TokenId>(id) ? GgufTokenType::kUnknown
                                                                : GgufTokenType::kControl;
    case TokenKind::kUserDefined:
      return GgufTokenType::kUserDefined;
    case TokenKind::kUnused:
      return GgufTokenType::kUnused;
  }
  return GgufTokenType::kUnused;
}

// GGUF wants a piece for every row of the embedding, each once.
base::Status AddTokens(const TokenizerData& data, std::size_t rows, GgufMetadata& metadata) {
  if (data.pieces.size() > rows) {
    return base::Fail(Code::kDataLoss, "the tokenizer has " + std::to_string(data.pieces.size()) +
                                           " tokens, but the model only " + std::to_string(rows) +
                                           ": they do not belong together");
  }
  std::vector<std::string> pieces = data.pieces;
  std::vector<std::int32_t> types;
  for (std::size_t id = 0; id < data.pieces.size(); ++id) {
    types.push_back(static_cast<std::int32_t>(TypeOf(data, id)));
  }
  pieces.resize(rows);
  types.resize(rows, static_cast<std::int32_t>(GgufTokenType::kUnused));
  std::unordered_set<std::string> seen;
  for (std::size_t id = 0; id < rows; ++id) {
    if (!pieces[id].empty() && seen.insert(pieces[id]).second) continue;
    pieces[id] = "[PAD" + std::to_string(id) + "]";
    types[id] = static_cast<std::int32_t>(GgufTokenType::kUnused);
  }
  metadata.AddStrings("tokenizer.ggml.tokens", pieces);
  metadata.AddInt32s("tokenizer.ggml.token_type", types);
  return {};
}

base::Status AddMerges(const std::vector<Merge>& merges, GgufMetadata& metadata) {
  std::vector<std::string> texts;
  texts.reserve(merges.size());
  for (const Merge& merge : merges) {
    const std::string left = merge.piece.substr(0, merge.left);
    if (left.find(' ', 1) != std::string::npos || left.empty()) {
      return NoWords("a merge of the piece '" + left + "'");
    }
    texts.push_back(left + " " + merge.piece.substr(merge.left));
  }
  metadata.AddStrings("tokenizer.ggml.merges", texts);
  return {};
}

// Whether merging alone makes each token of itself, so that it does not matter if tokens are looked
// up whole before.
bool MergesMakeEachToken(const TokenizerData& data) {
  TokenizerData without = data;
  without.ignore_merges = false;
  BpeModel model(without, true);
  if (!model.Build()) return false;
  BpeModel::Scratch scratch;
  std::vector<TokenId> ids;
  for (std::size_t id = 0; id < data.pieces.size(); ++id) {
    if (data.kinds[id] != TokenKind::kNormal) continue;
    ids.clear();
    model.Encode(PieceToBytes(data.pieces[id]), ids, scratch);
    if (ids.size() != 1 || ids[0] != model.Find(data.pieces[id])) return false;
  }
  return true;
}

const NamedPreTokenizer* NameOf(const TokenizerData& data) {
  const NamedPreTokenizer* exact = FindPreTokenizer(data.pre_tokenizer, data.ignore_merges);
  if (exact != nullptr) return exact;
  const NamedPreTokenizer* other = FindPreTokenizer(data.pre_tokenizer, !data.ignore_merges);
  return other != nullptr && MergesMakeEachToken(data) ? other : nullptr;
}

// Whether text is written as SentencePiece writes it, and with a space before it.
struct SpaceRule {
  bool known = false;
  bool prefix = false;
};
SpaceRule SpaceRuleOf(const TokenizerData& data) {
  for (const bool prefix : {true, false}) {
    if (data.pre_tokenizer.empty() && data.normalizer == SentencePieceNormalizer(prefix)) {
      return {true, prefix};
    }
  }
  if (data.pre_tokenizer.size() != 1) return {};
  const auto* space = std::get_if<MetaspaceStep>(&data.pre_tokenizer[0]);
  if (space == nullptr || space->replacement != "\xe2\x96\x81") return {};
  if (!data.normalizer.empty() && data.normalizer != SentencePieceNormalizer(false)) return {};
  return {true, space->prepend != PrependScheme::kNever};
}

base::Status AddSentencePiece(const TokenizerData& data, std::size_t rows, TokenizerData& plain,
                              GgufMetadata& metadata) {
  const SpaceRule space = SpaceRuleOf(data);
  if (!space.known || data.ignore_merges) return NoWords("the way this tokenizer cuts text");
  std::optional<std::vector<float>> scores = data.scores;
  if (scores->empty()) scores = ScoresFromMerges(data);
  if (!scores) return NoWords("the order of this tokenizer's merges");
  scores->resize(std::max(rows, scores->size()));  // rows without a token have one too
  metadata.AddString("tokenizer.ggml.model", "llama");
  metadata.AddString("tokenizer.ggml.pre", "default");
  metadata.AddFloat32s("tokenizer.ggml.scores", *scores);
  metadata.AddBool("tokenizer.ggml.add_space_prefix", space.prefix);
  plain.normalizer = SentencePieceNormalizer(space.prefix);
  plain.pre_tokenizer.clear();
  plain.decoder = SentencePieceDecoder(space.prefix);
  plain.byte_fallback = true;
  return {};
}

base::Status AddByteLevel(const TokenizerData& data, TokenizerData& plain, GgufMetadata& metadata) {
  const NamedPreTokenizer* cut = NameOf(data);
  if (cut == nullptr) return NoWords("the way this tokenizer cuts text");
  metadata.AddString("tokenizer.ggml.model", "gpt2");
  metadata.AddString("tokenizer.ggml.pre", cut->name);
  CLOISTER_RETURN_IF_ERROR(AddMerges(data.merges, metadata));
  metadata.AddBool("tokenizer.ggml.add_space_prefix", false);
  plain.normalizer.clear();
  plain.pre_tokenizer = cut->steps;
  plain.decoder = {ByteLevelDecoding{}};
  plain.ignore_merges = cut->ignore_merges;
  plain.byte_fallback = false;
  plain.unknown_character.reset();
  return {};
}

// Whether some added token is decoded to another text than its own.
bool DecodesAddedTokens(const TokenizerData& data) {
  const base::Result<Decoder> decoder = Decoder::Make(data.decoder);
  if (!decoder) return true;
  for (std::size_t id = 0; id < data.pieces.size(); ++id) {
    if (!data.IsAdded(id)) continue;
    Decoder::Stream stream(*decoder);
    std::string text;
    // Behind a first token, so that what begins a text is not at stake.
    stream.Add({"x", false}, text);
    stream.Add({data.pieces[id], false}, text);
    text += stream.Finish();
    if (text != "x" + data.pieces[id]) return true;
  }
  return false;
}

bool SameSettings(const TokenizerData& a, const TokenizerData& b) {
  return a.normalizer == b.normalizer && a.pre_tokenizer == b.pre_tokenizer &&
         a.decoder == b.decoder && a.rules == b.rules && a.ignore_merges == b.ignore_merges &&
         a.byte_fallback == b.byte_fallback && a.fuses_unknown == b.fuses_unknown &&
         a.unknown_character == b.unknown_character;
}

}  // namespace

base::Status AddTokenizerToGguf(const TokenizerData& data, std::int64_t vocab_size,
                                GgufMetadata& metadata) {
  // What the file says without kSettingsKey.
  TokenizerData plain = data;
  plain.rules.clear();
  plain.fuses_unknown = false;
  const bool byte_level = !data.pre_tokenizer.empty() &&
                          std::holds_alternative<ByteLevelStep>(data.pre_tokenizer.back());
  const auto rows = static_cast<std::size_t>(vocab_size);
  CLOISTER_RETURN_IF_ERROR(AddTokens(data, rows, metadata));
  CLOISTER_RETURN_IF_ERROR(byte_level ? AddByteLevel(data, plain, metadata)
                                      : AddSentencePiece(data, rows, plain, metadata));
  metadata.AddBool("tokenizer.ggml.add_bos_token", data.adds_bos);
  metadata.AddBool("tokenizer.ggml.add_eos_token", data.adds_eos);
  const bool verbatim = data.added_verbatim || !DecodesAddedTokens(data);
  if (!verbatim || !SameSettings(data, plain)) {
    metadata.AddString(kSettingsKey, SettingsText(data));
  }
  const auto unknown = data.unknown_character ? data.unknown_character : data.unknown;
  for (const auto& [name, id] : {std::pair("unknown", unknown), {"padding", data.padding}}) {
    const std::string key = std::string("tokenizer.ggml.") + name + "_token_id";
    if (id) metadata.AddUint32(key, static_cast<std::uint32_t>(*id));
  }
  return {};
}

}  // namespace cloister::model
