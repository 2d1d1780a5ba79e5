#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace cloister::trainer {

// The network's pieces as differentiable functions that keep for the backward pass only what it
// needs. Batch first; fp32 or bfloat16, and fp32 arithmetic within. None looks across examples.

// x / rms(x) * weight over the last dimension (Zhang and Sennrich 2019), for fp32 `weight`; of type
// `type`, by default x's.
at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double epsilon,
                   std::optional<at::ScalarType> type = {});
// Its parts: the output with 1 / rms(x), fp32 [.., 1], and the gradient of x, fp32, for the
// output's `gradient`. No gradient.
struct NormalizedRows {
  at::Tensor y, inverse;
};
NormalizedRows NormalizeRows(const at::Tensor& x, const at::Tensor& weight, double epsilon,
                             at::ScalarType type);
at::Tensor RmsNormInputGradient(const at::Tensor& gradient, const at::Tensor& x,
                                const at::Tensor& weight, const at::Tensor& inverse);

// silu(gate) * up for gate_up [.., 2 * intermediate]: gate first.
at::Tensor SwiGlu(const at::Tensor& gate_up);

// Of each row of scores [rows, size] the cross entropy against its target, fp32 [rows]; targets i64
// [rows]. With `differentiate` the scores, contiguous, become the gradients of their rows' losses.
// No gradient.
at::Tensor CrossEntropy(const at::Tensor& scores, const at::Tensor& targets, bool differentiate);

}  // namespace cloister::trainer
