#include "model/tokenizer/bpe_model.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/merge_symbols.h"
#include "model/tokenizer/utf8.h"

namespace cloister::model {
namespace {

using base::Code;

constexpr TokenId kAbsent = Vocabulary::kAbsent;
constexpr std::string_view kMark = "\xe2\x96\x81";  // U+2581, SentencePiece's space
// U+FFFD. Stands for a byte that no text in UTF-8 has and the vocabulary lacks.
constexpr std::array<std::uint8_t, 3> kReplacement = {0xef, 0xbf, 0xbd};

bool NeverInUtf8(std::uint8_t byte) { return byte == 0xc0 || byte == 0xc1 || byte >= 0xf5; }

// Longer pieces are merged in parts, so that symbols are counted in 32 bits.
constexpr std::size_t kMaxPiece = std::size_t{1} << 30;

// Whether merges make this token.
bool IsMerged(const TokenizerData& data, TokenId id) {
  const TokenKind kind = data.kinds[static_cast<std::size_t>(id)];
  if (kind == TokenKind::kNormal) return true;
  if (kind == TokenKind::kByte) return data.ignore_merges;  // then <0x41> may be a whole piece
  const auto rules = data.rules.find(id);
  return rules != data.rules.end() && rules->second.merged;
}

tl::unexpected<base::Error> BrokenMerge(const Merge& merge) {
  const std::size_t left = std::min<std::size_t>(merge.left, merge.piece.size());
  return base::Fail(Code::kDataLoss, "the merge of '" + merge.piece.substr(0, left) + "' and '" +
                                         merge.piece.substr(left) +
                                         "' names pieces that the vocabulary lacks: fetch the "
                                         "model again");
}

}  // namespace

BpeModel::BpeModel(const TokenizerData& data, bool byte_level)
    : data_(data),
      byte_level_(byte_level),
      vocabulary_(data.pieces, [&](TokenId id) { return !IsMerged(data, id); }),
      merges_(data.merges.size()) {}

base::Status BpeModel::Build() {
  if (data_.scores.empty()) {
    CLOISTER_RETURN_IF_ERROR(BuildMerges());
  } else {
    CLOISTER_RETURN_IF_ERROR(BuildScores());
  }
  BuildBytes();
  cuts_before_marks_ = !byte_level_ && !data_.ignore_merges && CanCutBeforeMarks();
  return {};
}

base::Status BpeModel::BuildMerges() {
  for (std::size_t rank = 0; rank < data_.merges.size(); ++rank) {
    const Merge& merge = data_.merges[rank];
    if (merge.left > merge.piece.size()) return BrokenMerge(merge);
    const std::string_view piece = merge.piece;
    const TokenId left = Find(piece.substr(0, merge.left));
    const TokenId right = Find(piece.substr(merge.left));
    const TokenId result = Find(piece);
    if (left == kAbsent || right == kAbsent || result == kAbsent) return BrokenMerge(merge);
    merges_.Add(left, right, {static_cast<std::uint32_t>(rank), result});
  }
  return {};
}

// Equal scores are equal ranks.
base::Status BpeModel::BuildScores() {
  std::vector<TokenId> ids(data_.scores.size());
  std::iota(ids.begin(), ids.end(), 0);
  for (const float score : data_.scores) {
    if (std::isnan(score)) {
      return base::Fail(Code::kDataLoss, "a token's score is no number: fetch the model again");
    }
  }
  const auto score = [&](TokenId id) { return data_.scores[static_cast<std::size_t>(id)]; };
  std::stable_sort(ids.begin(), ids.end(),
                   [&](TokenId a, TokenId b) { return score(a) > score(b); });
  by_score_.resize(ids.size());
  std::uint32_t rank = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (i > 0 && score(ids[i]) != score(ids[i - 1])) ++rank;
    by_score_[static_cast<std::size_t>(ids[i])] = {rank, ids[i]};
  }
  return {};
}

void BpeModel::BuildBytes() {
  bytes_.fill(kAbsent);
  if (byte_level_) {
    for (int byte = 0; byte < 256; ++byte) {
      bytes_[byte] = Find(ByteToPiece(static_cast<std::uint8_t>(byte)));
    }
  } else if (data_.byte_fallback) {
    for (std::size_t id = 0; id < data_.pieces.size(); ++id) {
      if (data_.kinds[id] != TokenKind::kByte) continue;
      const auto byte = FallbackByte(data_.pieces[id]);
      if (byte && bytes_[*byte] == kAbsent) bytes_[*byte] = static_cast<TokenId>(id);
    }
  }
  replaceable_ = std::none_of(kReplacement.begin(), kReplacement.end(),
                              [&](std::uint8_t byte) { return bytes_[byte] == kAbsent; });
  for (std::size_t i = 0; i < ascii_.size(); ++i) {
    const char c = static_cast<char>(i);
    ascii_[i] = Find({&c, 1});
  }
}

// Whether no token holds a mark behind another character. Then no merge crosses that place, and
// text can be cut there.
bool BpeModel::CanCutBeforeMarks() const {
  if (Find(kMark) == kAbsent) return false;
  for (std::size_t id = 0; id < data_.pieces.size(); ++id) {
    if (!IsMerged(data_, static_cast<TokenId>(id))) continue;
    std::string_view rest = data_.pieces[id];
    while (rest.starts_with(kMark)) rest.remove_prefix(kMark.size());
    if (rest.find(kMark) != std::string_view::npos) return false;
  }
  const auto is_absent = [](TokenId id) { return id == kAbsent; };
  // With some of the bytes alone unknown characters would be counted over a cut.
  return std::all_of(bytes_.begin(), bytes_.end(), is_absent) ||
         std::none_of(bytes_.begin(), bytes_.end(), is_absent);
}

void BpeModel::Encode(std::string_view piece, std::vector<TokenId>& ids, Scratch& scratch) const {
  if (!cuts_before_marks_) return EncodeWord(piece, ids, scratch);
  std::size_t begin = 0, at = 0;
  while (at < piece.size()) {
    // Over the marks that the word begins with, then on to the next one.
    while (piece.compare(at, kMark.size(), kMark) == 0) at += kMark.size();
    at = std::min(piece.find(kMark, at), piece.size());
    EncodeWord(piece.substr(begin, at - begin), ids, scratch);
    begin = at;
  }
}

void BpeModel::EncodeWord(std::string_view word, std::vector<TokenId>& ids,
                          Scratch& scratch) const {
  if (word.size() > PieceCache::kMaxBytes) {
    while (word.size() > kMaxPiece) {
      EncodeAnew(word.substr(0, kMaxPiece), ids, scratch);
      word.remove_prefix(kMaxPiece);
    }
    return EncodeAnew(word, ids, scratch);
  }
  const PieceCache::Key key(word);
  if (cache_.Find(key, ids)) return;
  const std::size_t before = ids.size();
  EncodeAnew(word, ids, scratch);
  cache_.Insert(key, std::span(ids).subspan(before));
}

void BpeModel::EncodeAnew(std::string_view word, std::vector<TokenId>& ids,
                          Scratch& scratch) const {
  if (data_.ignore_merges) {
    std::string written;
    if (byte_level_) {
      for (const char c : word) written += ByteToPiece(static_cast<std::uint8_t>(c));
    }
    const TokenId whole = Find(byte_level_ ? std::string_view(written) : word);
    if (whole != kAbsent) return ids.push_back(whole);
  }
  if (!by_score_.empty()) return EncodeByScores(word, ids, scratch);
  std::vector<TokenId>& symbols = scratch.ids;
  symbols.clear();
  if (byte_level_) {
    BytesToSymbols(word, symbols);
  } else {
    CharactersToSymbols(word, symbols);
  }
  MergeSymbols(
      symbols, [&](TokenId left, TokenId right) { return merges_.Find(left, right); },
      [](TokenId, TokenId, const MergeRule& rule) { return rule.result; });
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

void BpeModel::BytesToSymbols(std::string_view word, std::vector<TokenId>& symbols) const {
  const std::optional<TokenId>& unknown = data_.unknown_character;
  bool last_unknown = false;
  for (const char c : word) {
    const auto byte = static_cast<std::uint8_t>(c);
    const TokenId id = bytes_[byte];
    if (id != kAbsent) {
      symbols.push_back(id);
    } else if (NeverInUtf8(byte) && replaceable_) {
      for (const std::uint8_t part : kReplacement) symbols.push_back(bytes_[part]);
    } else if (unknown && !(data_.fuses_unknown && last_unknown)) {
      symbols.push_back(*unknown);
      last_unknown = true;
      continue;
    } else {
      continue;
    }
    last_unknown = false;
  }
}

void BpeModel::CharactersToSymbols(std::string_view word, std::vector<TokenId>& symbols) const {
  // An unknown character waits for the next known one, as in Hugging Face's BPE; byte tokens go by.
  bool waiting = false;
  const auto flush = [&] {
    if (waiting) symbols.push_back(*data_.unknown_character);
    waiting = false;
  };
  for (std::size_t at = 0; at < word.size();) {
    const auto lead = static_cast<unsigned char>(word[at]);
    const std::size_t size = lead < 0x80 ? 1 : CharacterAt(word, at).size;
    const std::string_view character = word.substr(at, size);
    at += size;
    const TokenId id = lead < 0x80 ? ascii_[lead] : Find(character);
    if (id != kAbsent) {
      flush();
      symbols.push_back(id);
      continue;
    }
    const bool has_bytes = std::none_of(character.begin(), character.end(), [&](char c) {
      return bytes_[static_cast<std::uint8_t>(c)] == kAbsent;
    });
    if (has_bytes) {
      for (const char c : character) symbols.push_back(bytes_[static_cast<std::uint8_t>(c)]);
    } else if (data_.unknown_character) {
      if (!data_.fuses_unknown) flush();
      waiting = true;
    }
  }
  flush();
}

void BpeModel::EncodeByScores(std::string_view word, std::vector<TokenId>& ids,
                              Scratch& scratch) const {
  using Symbol = Scratch::Symbol;
  std::vector<Symbol>& symbols = scratch.symbols;
  symbols.clear();
  for (std::size_t at = 0; at < word.size();) {
    const std::size_t size = CharacterAt(word, at).size;
    const auto end = at + size;
    symbols.push_back({Find(word.substr(at, size)), static_cast<std::uint32_t>(at),
                       static_cast<std::uint32_t>(end)});
    at = end;
  }
  MergeSymbols(
      symbols,
      [&](const Symbol& left, const Symbol& right) -> const MergeRule* {
        const TokenId id = Find(word.substr(left.begin, right.end - left.begin));
        return id == kAbsent ? nullptr : &by_score_[static_cast<std::size_t>(id)];
      },
      [](const Symbol& left, const Symbol& right, const MergeRule& rule) {
        return Symbol{rule.result, left.begin, right.end};
      });
  for (const Symbol& symbol : symbols) {
    if (symbol.id != kAbsent) {
      ids.push_back(symbol.id);
    } else {
      AppendFallback(word.substr(symbol.begin, symbol.end - symbol.begin), ids);
    }
  }
}

void BpeModel::AppendFallback(std::string_view character, std::vector<TokenId>& ids) const {
  for (const char c : character) {
    const TokenId id = bytes_[static_cast<std::uint8_t>(c)];
    if (id != kAbsent) {
      ids.push_back(id);
    } else if (data_.unknown_character) {
      ids.push_back(*data_.unknown_character);
    }
  }
}

}  // namespace cloister::model
