#pragma once

#include <optional>
#include <vector>

#include "model/tokenizer/tokenizer_data.h"

namespace cloister::model {

// The merge rules that the scores of `data` stand for: for each piece, every way to make it of two
// other pieces; the piece of highest score first. Where scores are equal the lower id comes first,
// while by scores the leftmost pair of a text would.
std::vector<Merge> MergesFromScores(const TokenizerData& data);

// Scores that stand for the merges of `data`: minus the place of each piece among those that rules
// make, as SentencePiece numbers them; pieces that no rule makes come behind. Nothing when scores
// cannot say the same: when two pieces spell a third and no rule joins them, or when pieces whose
// rules are mixed come out otherwise in some run of one character.
std::optional<std::vector<float>> ScoresFromMerges(const TokenizerData& data);

}  // namespace cloister::model
