#include "model/tokenizer/merges_from_scores.h"

#include <algorithm>
#include <numeric>
#include <unordered_set>

#include "model/tokenizer/bpe_model.h"
#include "model/tokenizer/utf8.h"
#include "model/tokenizer/vocabulary.h"

namespace cloister::model {
namespace {

constexpr TokenId kAbsent = Vocabulary::kAbsent;
// Pieces longer than this are made of nothing: real ones have some dozens of bytes, and all their
// halves are looked up.
constexpr std::size_t kMaxPiece = 512;
constexpr std::size_t kLongestRun = 64;

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

// The rules that make a piece: the places of the first and the last one, and where they cut it.
struct Made {
  std::size_t first = 0;
  std::size_t last = 0;
  std::unordered_set<std::uint32_t> cuts;
};

// By id; nothing when a merge makes no piece.
std::vector<Made> MadeBy(const TokenizerData& data, const Vocabulary& vocabulary) {
  std::vector<Made> made(data.pieces.size());
  for (std::size_t rank = 0; rank < data.merges.size(); ++rank) {
    const TokenId id = vocabulary.Find(data.merges[rank].piece);
    if (id == kAbsent) return {};
    Made& one = made[static_cast<std::size_t>(id)];
    if (one.cuts.empty()) one.first = rank;
    one.last = rank;
    one.cuts.insert(data.merges[rank].left);
  }
  return made;
}

// Whether a rule joins whatever two pieces spell a third one, as scores would.
bool HasEveryCut(const TokenizerData& data, const Vocabulary& vocabulary,
                 const std::vector<Made>& made) {
  bool complete = true;
  for (std::size_t id = 0; id < data.pieces.size() && complete; ++id) {
    if (vocabulary.Find(data.pieces[id]) != static_cast<TokenId>(id)) continue;
    ForEachCut(vocabulary, data.pieces[id], [&](TokenId, TokenId, std::size_t size) {
      complete = complete && made[id].cuts.contains(static_cast<std::uint32_t>(size));
    });
  }
  return complete;
}

// Whether rules and scores agree on runs of one character, where pieces of equal score overlap: the
// rules have an order where the scores have none. (The runs of spaces of Llama 2.)
bool SameOnRuns(const TokenizerData& data, const std::vector<float>& scores) {
  TokenizerData by_scores = data;
  by_scores.scores = scores;
  by_scores.merges.clear();
  BpeModel rules(data, false), equals(by_scores, false);
  if (!rules.Build() || !equals.Build()) return false;
  std::unordered_set<std::string_view> characters;
  std::size_t longest = 0;
  for (std::size_t id = 0; id < data.pieces.size(); ++id) {
    const std::string_view piece = data.pieces[id];
    if (data.kinds[id] != TokenKind::kNormal || piece.empty()) continue;
    const std::string_view first = piece.substr(0, CharacterAt(piece, 0).size);
    if (piece.size() > first.size() && piece.substr(first.size()).starts_with(first)) {
      characters.insert(first);
      longest = std::max(longest, std::min(piece.size() / first.size(), kLongestRun));
    }
  }
  BpeModel::Scratch scratch;
  for (const std::string_view character : characters) {
    std::string run;
    for (std::size_t size = 0; size < 3 * longest; ++size) {
      run += character;
      std::vector<TokenId> a, b;
      rules.Encode(run, a, scratch);
      equals.Encode(run, b, scratch);
      if (a != b) return false;
    }
  }
  return true;
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
  const std::vector<Made> made = MadeBy(data, vocabulary);
  if (made.size() != data.pieces.size() || !HasEveryCut(data, vocabulary, made)) {
    return std::nullopt;
  }
  std::vector<TokenId> order;
  for (std::size_t id = 0; id < made.size(); ++id) {
    if (!made[id].cuts.empty()) order.push_back(static_cast<TokenId>(id));
  }
  std::sort(order.begin(), order.end(), [&](TokenId a, TokenId b) {
    return made[static_cast<std::size_t>(a)].first < made[static_cast<std::size_t>(b)].first;
  });
  // Pieces whose rules are mixed get one score: SentencePiece had one for them.
  std::vector<float> scores(data.pieces.size());
  float score = 0;
  std::size_t end = 0;
  bool mixed = false;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const Made& one = made[static_cast<std::size_t>(order[i])];
    const bool apart = one.first > end;
    if (i > 0 && apart) --score;
    mixed = mixed || (i > 0 && !apart);
    scores[static_cast<std::size_t>(order[i])] = score;
    end = std::max(end, one.last);
  }
  for (std::size_t id = 0; id < scores.size(); ++id) {
    if (data.kinds[id] == TokenKind::kNormal && made[id].cuts.empty()) scores[id] = score - 1;
  }
  if (mixed && !SameOnRuns(data, scores)) return std::nullopt;
  return scores;
}

}  // namespace cloister::model
