// Byte-level BPE (Radford et al. 2019; Sennrich et al. 2016): text is cut by patterns, each piece's
// bytes become symbols, neighbours are merged by rank.
#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <array>
#include <limits>
#include <unordered_map>
#include <utility>

#include "model/tokenizer/bpe_merges.h"
#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/special_tokens.h"
#include "model/tokenizer/text_splitter.h"
#include "model/tokenizer/tokenizer_data.h"

namespace cloister::model {
namespace {

using base::Code;

constexpr TokenId kAbsent = -1;
// U+FFFD. Stands for a byte that the vocabulary lacks, so that no text can make a special token.
constexpr std::array<std::uint8_t, 3> kReplacement = {0xef, 0xbf, 0xbd};

bool IsUtf8(std::string_view text) {
  const auto size = static_cast<std::int64_t>(text.size());
  for (std::int64_t next = 0; next < size;) {
    UChar32 point = 0;
    U8_NEXT(text.data(), next, size, point);
    if (point < 0) return false;
  }
  return true;
}

// Text in normalization form C; text that is no UTF-8 is left as it is.
std::string Normalized(std::string_view text) {
  std::string result(text);
  constexpr std::size_t kLimit = std::numeric_limits<std::int32_t>::max() / 4;
  if (text.size() > kLimit || !IsUtf8(text)) return result;
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* form = icu::Normalizer2::getNFCInstance(error);
  if (U_FAILURE(error)) return result;
  std::string normalized;
  icu::StringByteSink<std::string> sink(&normalized);
  form->normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())),
                      sink, nullptr, error);
  return U_FAILURE(error) ? result : normalized;
}

class BpeTokenizer final : public Tokenizer {
 public:
  BpeTokenizer(TokenizerData data, TextSplitter splitter)
      : data_(std::move(data)), splitter_(std::move(splitter)) {
    ids_.reserve(data_.pieces.size());
    for (std::size_t id = 0; id < data_.pieces.size(); ++id) {
      const std::string& piece = data_.pieces[id];
      const TokenKind kind = data_.kinds[id];
      if (kind == TokenKind::kUnused) continue;
      ids_.try_emplace(piece, static_cast<TokenId>(id));
      if (kind == TokenKind::kNormal) continue;
      special_.Add(piece, static_cast<TokenId>(id), kind == TokenKind::kUserDefined);
    }
  }

  base::Status BuildMerges() {
    merges_.Reserve(data_.merges.size());
    for (std::size_t rank = 0; rank < data_.merges.size(); ++rank) {
      const std::string_view merge = data_.merges[rank];
      const std::size_t space = merge.find(' ');
      if (space == std::string_view::npos) return BrokenMerge(merge);
      const std::string_view left = merge.substr(0, space);
      const std::string_view right = merge.substr(space + 1);
      const auto left_id = Find(left);
      const auto right_id = Find(right);
      const auto result = Find(std::string(left).append(right));
      if (!left_id || !right_id || !result) return BrokenMerge(merge);
      merges_.Add(*left_id, *right_id, static_cast<std::int32_t>(rank), *result);
    }
    return {};
  }

  // After BuildMerges.
  base::Status BuildBytes() {
    for (int byte = 0; byte < 256; ++byte) {
      bytes_[byte] = Find(ByteToPiece(static_cast<std::uint8_t>(byte))).value_or(kAbsent);
    }
    const bool replaceable = std::none_of(kReplacement.begin(), kReplacement.end(),
                                          [&](std::uint8_t b) { return bytes_[b] == kAbsent; });
    const bool complete = std::count(bytes_.begin(), bytes_.end(), kAbsent) == 0;
    if (!complete && !replaceable && !data_.unknown) {
      return base::Fail(
          Code::kDataLoss,
          "the vocabulary has neither a token for every byte nor an unknown token: it "
          "is damaged or no byte-level vocabulary");
    }
    replaceable_ = replaceable;
    return {};
  }

  std::vector<TokenId> Encode(std::string_view text, EncodeOptions options) const override {
    std::vector<TokenId> ids;
    if (options.add_bos && data_.bos) ids.push_back(*data_.bos);
    std::size_t done = 0;
    while (done < text.size()) {
      const auto found = special_.Find(text, done, options.parse_special);
      EncodePlain(text.substr(done, (found ? found->begin : text.size()) - done), ids);
      if (!found) break;
      ids.push_back(found->id);
      done = found->end;
    }
    return ids;
  }

  base::Result<std::string> Decode(std::span<const TokenId> ids) const override {
    std::string text;
    for (const TokenId id : ids) {
      if (id < 0 || static_cast<std::size_t>(id) >= data_.pieces.size()) {
        return base::Fail(Code::kOutOfRange, "token id " + std::to_string(id) +
                                                 " lies outside of the vocabulary of " +
                                                 std::to_string(data_.pieces.size()));
      }
      const std::string& piece = data_.pieces[static_cast<std::size_t>(id)];
      text += data_.kinds[static_cast<std::size_t>(id)] == TokenKind::kNormal ? PieceToBytes(piece)
                                                                              : piece;
    }
    return text;
  }

  std::int64_t vocab_size() const override {
    return static_cast<std::int64_t>(data_.pieces.size());
  }
  std::optional<TokenId> bos() const override { return data_.bos; }
  std::vector<TokenId> end_of_generation() const override { return data_.end_ids; }
  bool adds_bos() const override { return data_.adds_bos && data_.bos.has_value(); }

  std::optional<TokenId> Find(std::string_view token) const override {
    const auto found = ids_.find(token);
    return found == ids_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  static base::Status BrokenMerge(std::string_view merge) {
    return base::Fail(Code::kDataLoss, "merge '" + std::string(merge) +
                                           "' names pieces that the vocabulary lacks: fetch the "
                                           "model again");
  }

  void EncodePlain(std::string_view text, std::vector<TokenId>& ids) const {
    if (text.empty()) return;
    const std::string normalized = data_.normalize_nfc ? Normalized(text) : std::string();
    if (data_.normalize_nfc) text = normalized;
    for (const std::string_view piece : splitter_.Split(text)) EncodePiece(piece, ids);
  }

  void EncodePiece(std::string_view piece, std::vector<TokenId>& ids) const {
    if (data_.ignore_merges) {
      std::string written;
      for (const char c : piece) written += ByteToPiece(static_cast<std::uint8_t>(c));
      if (const auto whole = Find(written)) {
        ids.push_back(*whole);
        return;
      }
    }
    std::vector<TokenId> symbols;
    symbols.reserve(piece.size());
    for (const char c : piece) {
      const TokenId id = bytes_[static_cast<std::uint8_t>(c)];
      if (id != kAbsent) {
        symbols.push_back(id);
      } else if (replaceable_) {
        for (const std::uint8_t byte : kReplacement) symbols.push_back(bytes_[byte]);
      } else {
        symbols.push_back(*data_.unknown);
      }
    }
    const std::vector<TokenId> merged = merges_.Apply(symbols);
    ids.insert(ids.end(), merged.begin(), merged.end());
  }

  TokenizerData data_;
  TextSplitter splitter_;
  std::unordered_map<std::string_view, TokenId> ids_;  // views into data_.pieces
  std::array<TokenId, 256> bytes_ = {};
  BpeMerges merges_;
  SpecialTokens special_;
  bool replaceable_ = false;
};

base::Status CheckIds(const TokenizerData& data) {
  if (data.pieces.empty() || data.pieces.size() > std::size_t{1} << 24 ||
      data.kinds.size() != data.pieces.size() || data.merges.size() > std::size_t{1} << 24) {
    return base::Fail(Code::kDataLoss, "the tokenizer's lists are empty or differ in length");
  }
  std::vector<TokenId> ids = data.end_ids;
  for (const auto& id : {data.bos, data.eos, data.unknown, data.padding}) {
    if (id) ids.push_back(*id);
  }
  for (const TokenId id : ids) {
    if (id < 0 || static_cast<std::size_t>(id) >= data.pieces.size()) {
      return base::Fail(Code::kDataLoss, "special token id " + std::to_string(id) +
                                             " lies outside of the vocabulary: fetch it again");
    }
  }
  return {};
}

}  // namespace

base::Result<std::shared_ptr<const Tokenizer>> MakeTokenizer(TokenizerData data) {
  CLOISTER_RETURN_IF_ERROR(CheckIds(data));
  std::vector<TokenId> ends;
  for (const TokenId id : data.end_ids) {
    if (std::find(ends.begin(), ends.end(), id) == ends.end()) ends.push_back(id);
  }
  data.end_ids = std::move(ends);
  CLOISTER_ASSIGN_OR_RETURN(TextSplitter splitter, TextSplitter::Make(data.split_patterns));
  auto tokenizer = std::make_shared<BpeTokenizer>(std::move(data), std::move(splitter));
  CLOISTER_RETURN_IF_ERROR(tokenizer->BuildMerges());
  CLOISTER_RETURN_IF_ERROR(tokenizer->BuildBytes());
  return std::shared_ptr<const Tokenizer>(std::move(tokenizer));
}

std::vector<TokenId> TurnEnds(const TokenizerData& data, const std::string& chat_template) {
  static constexpr std::array<std::string_view, 6> kNames = {
      "<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "<|end_of_turn|>", "<|eot|>"};
  std::vector<TokenId> found;
  for (std::size_t id = 0; id < data.pieces.size() && id < data.kinds.size(); ++id) {
    if (data.kinds[id] != TokenKind::kControl) continue;
    const bool ends_turns =
        std::find(kNames.begin(), kNames.end(), data.pieces[id]) != kNames.end();
    if (ends_turns && chat_template.find(data.pieces[id]) != std::string::npos) {
      found.push_back(static_cast<TokenId>(id));
    }
  }
  return found;
}

}  // namespace cloister::model
