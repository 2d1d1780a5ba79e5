#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "trainer/networks/network.h"
#include "trainer/trainable_model.h"

namespace cloister::trainer {

// Passes without gradients by which a network is judged. What LibTorch throws passes through.

// Writes scores[i] for each i of `chosen`, worked on as one batch; each has an answer token. Scores
// over the vocabulary exist for a chunk of rows at a time.
void ScoreAnswers(const Network& network, const NetworkAdapter* adapter,
                  std::span<const Example> examples, std::span<const std::size_t> chosen,
                  std::span<TrainableModel::Score> scores);

// See TrainableModel::Continue. Keys and values of earlier tokens are kept, so a token costs one
// pass of one token. Equal scores go to the lower id.
base::Result<std::vector<model::TokenId>> GreedyTokens(const Network& network,
                                                       const NetworkAdapter* adapter,
                                                       std::span<const model::TokenId> prompt,
                                                       std::int64_t max_new_tokens,
                                                       std::span<const model::TokenId> ends,
                                                       const WorkProgress& progress);

}  // namespace cloister::trainer
