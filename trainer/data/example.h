#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/tokenizer.h"

namespace cloister::trainer {

// A conversation as a network trains on it. `answer[t]` says that ids[t] is part of an answer, a
// token whose prediction counts; the first token never is (nothing predicts it).
struct Example {
  std::vector<model::TokenId> ids;
  std::vector<std::uint8_t> answer;

  std::int64_t tokens() const { return static_cast<std::int64_t>(ids.size()); }
  std::int64_t answer_tokens() const;
};

// The examples of one privacy unit: one, or all of a user's.
using UnitExamples = std::vector<Example>;

std::int64_t TokensOf(std::span<const Example> examples);
std::int64_t AnswerTokensOf(std::span<const Example> examples);

// What the loss of a batch is the mean of: its answer tokens' losses, so that a long answer counts
// for more; or its examples', each of which is the mean of its own answer tokens'.
enum class LossMean { kToken, kExample };

// Groups of indices into `examples`: sorted by length so that little is padded, each group's
// longest length times its size at most `padded_tokens` (a longer example stands alone). `packed`
// examples stand behind one another, and their lengths' sum is at most so much. Every index is in
// one group. How examples are grouped changes memory and speed, not the sum's value.
std::vector<std::vector<std::size_t>> MicroBatches(std::span<const Example> examples,
                                                   std::int64_t padded_tokens, bool packed = false);
// The same without the examples that have no answer, and without groups of none.
std::vector<std::vector<std::size_t>> AnsweredMicroBatches(std::span<const Example> examples,
                                                           std::int64_t padded_tokens,
                                                           bool packed = false);

}  // namespace cloister::trainer
