#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace cloister::trainer {

// Per-example mean cross entropy over the predicted tokens, fp32 [examples].
//   rows     [n, hidden]  normalized hidden states of the positions that predict
//   head     [vocab, hidden], frozen
//   targets  i64 [n]      the tokens to predict
//   example  i64 [n]      whose row it is, in [0, examples)
//   weight   fp32 [n]     1 / number of the example's predicted tokens
// Scores over the vocabulary exist for a chunk of rows at a time; the gradient for the chunk is
// made while they are there, so the backward pass only scales it. Differentiable in `rows`.
at::Tensor AnswerLoss(const at::Tensor& rows, const at::Tensor& head, const at::Tensor& targets,
                      const at::Tensor& example, const at::Tensor& weight, std::int64_t examples);

}  // namespace cloister::trainer
