#pragma once

#include <optional>
#include <vector>

#include "model/tokenizer/tokenizer_data.h"

namespace cloister::model {

// The merge rules that the scores of `data` stand for: for each piece, every way to make it of two
// other pieces; the piece of highest score first. Where scores are equal the lower id comes first,
// while by scores the leftmost pair of a text would.
std::vector<Merge> MergesFromScores(const TokenizerData& data);

// Scores that stand for the merges of `data`: minus the place among the rules of each piece's first
// rule, as SentencePiece numbers them. Pieces that no rule makes come behind all others. Nothing
// when scores cannot say the same: when the rules of two pieces are mixed, or a piece could be made
// of two others that no rule joins.
std::optional<std::vector<float>> ScoresFromMerges(const TokenizerData& data);

}  // namespace cloister::model
