#include "model/tokenizer/merges_from_scores.h"

#include <algorithm>
#include <numeric>
#include <unordered_set>

#include "model/tokenizer/utf8.h"
#include "model/tokenizer/vocabulary.h"

namespace cloister::model {
namespace {

constexpr TokenId kAbsent = Vocabulary::kAbsent;
// Pieces longer than this are made of nothing: real ones have some dozens of bytes, and all their
// halves are looked up.
constexpr std::size_t kMaxPiece = 512;

Vocabulary NormalPieces(const TokenizerData& data) {
  return {data.pieces, [&](TokenId id) {
            return data.kinds[static_cast<std::size_t>(id)] != TokenKind::kNormal;
          }};
}

// Calls `take(left, right, size of left)` for each cut of a piece into two other pieces.
template <typename Take>
void ForEachCut(const Vocabulary& vocabulary, std::string_view piece, const Take& take) {
  if (piece.size() > kMaxPiece) return;
  for (std::size_t at = 0; at < piece.size();) {
    at += CharacterAt(piece, at).size;
    if (at >= piece.size()) break;
    const TokenId left = vocabulary.Find(piece.substr(0, at));
    const TokenId right = vocabulary.Find(piece.substr(at));
    if (left != kAbsent && right != kAbsent) take(left, right, at);
  }
}

}  // namespace

std::vector<Merge> MergesFromScores(const TokenizerData& data) {
  const Vocabulary vocabulary = NormalPieces(data);
  std::vector<TokenId> order(data.pieces.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](TokenId a, TokenId b) {
    return data.scores[static_cast<std::size_t>(a)] > data.scores[static_cast<std::size_t>(b)];
  });
  std::vector<Merge> merges;
  struct Cut {
    TokenId left, right;
    std::size_t size;
  };
  std::vector<Cut> cuts;
  for (const TokenId id : order) {
    const std::string& piece = data.pieces[static_cast<std::size_t>(id)];
    if (vocabulary.Find(piece) != id) continue;
    cuts.clear();
    ForEachCut(vocabulary, piece, [&](TokenId left, TokenId right, std::size_t size) {
      cuts.push_back({left, right, size});
    });
    std::sort(cuts.begin(), cuts.end(), [](const Cut& a, const Cut& b) {
      return std::pair(a.left, a.right) < std::pair(b.left, b.right);
    });
    for (const Cut& cut : cuts) merges.push_back({piece, static_cast<std::uint32_t>(cut.size)});
  }
  return merges;
}

std::optional<std::vector<float>> ScoresFromMerges(const TokenizerData& data) {
  const Vocabulary vocabulary = NormalPieces(data);
  std::vector<std::int64_t> rank(data.pieces.size(), -1);
  std::vector<std::unordered_set<std::uint32_t>> cuts(data.pieces.size());
  TokenId last = kAbsent;
  std::int64_t next = 0;
  for (const Merge& merge : data.merges) {
    const TokenId id = vocabulary.Find(merge.piece);
    if (id == kAbsent) return std::nullopt;
    const auto index = static_cast<std::size_t>(id);
    if (id != last) {
      if (rank[index] >= 0) return std::nullopt;  // another piece's rules stand between
      rank[index] = next++;
    }
    last = id;
    cuts[index].insert(merge.left);
  }
  bool complete = true;
  for (std::size_t id = 0; id < data.pieces.size() && complete; ++id) {
    if (vocabulary.Find(data.pieces[id]) != static_cast<TokenId>(id)) continue;
    ForEachCut(vocabulary, data.pieces[id], [&](TokenId, TokenId, std::size_t size) {
      complete = complete && cuts[id].contains(static_cast<std::uint32_t>(size));
    });
  }
  if (!complete) return std::nullopt;
  std::vector<float> scores(data.pieces.size());
  for (std::size_t id = 0; id < scores.size(); ++id) {
    if (data.kinds[id] != TokenKind::kNormal) continue;
    scores[id] = -static_cast<float>(rank[id] >= 0 ? rank[id] : next);
  }
  return scores;
}

}  // namespace cloister::model
