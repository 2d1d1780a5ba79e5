#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "trainer/networks/weight_watch.h"

namespace cloister::trainer {

// What the rows of hidden states predict.
struct Predictions {
  at::Tensor targets;  // i64 [n]: the tokens
  at::Tensor example;  // i64 [n]: whose row it is, in [0, examples)
  at::Tensor weight;   // fp32 [n]: 1 / number of the example's predicted tokens
  std::int64_t examples = 0;
};

// Per-example mean cross entropy over the predicted tokens, fp32 [examples].
//   rows  [n, hidden]      normalized hidden states of the positions that predict
//   head  [vocab, hidden]  gets no gradient; `watch` is told of it
// Scores are of the rows' type; what is made of them is fp32.
// Scores over the vocabulary exist for a chunk of rows at a time; the gradient for the chunk is
// made while they are there, so the backward pass only scales it. A watch is told of all rows' at
// once; where it only adds up (GradientSum) and there are more than 256 rows, of a chunk's at a
// time, which the backward pass computes once more. Differentiable in `rows`.
at::Tensor AnswerLoss(const at::Tensor& rows, const LinearWeights& head,
                      const Predictions& predictions, const WeightWatch& watch);

}  // namespace cloister::trainer
