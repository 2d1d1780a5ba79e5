#pragma once

#include <ATen/core/Tensor.h>

#include "trainer/networks/operators.h"

namespace cloister::trainer::plain {

// Inside trainer/networks/ and its tests only: what operators.h and rotary.h promise, made of
// LibTorch's own operators, for tensors on another device than the CPU, where our kernels do not
// run. No autograd: these are the passes of functions that have it.

NormalizedRows NormalizeRows(const at::Tensor& x, const at::Tensor& weight, double epsilon,
                             at::ScalarType type);
at::Tensor RmsNormInputGradient(const at::Tensor& gradient, const at::Tensor& x,
                                const at::Tensor& weight, const at::Tensor& inverse);
// silu(gate) * up of gate_up [.., 2 * size], and the gradient of gate_up.
at::Tensor SwiGlu(const at::Tensor& gate_up);
at::Tensor SwiGluGradient(const at::Tensor& gradient, const at::Tensor& gate_up);
at::Tensor CrossEntropy(const at::Tensor& scores, const at::Tensor& targets, bool differentiate);
// Rotates x [batch, tokens, heads, size] by the angles of `cosine` and `sine` [1 or batch, tokens,
// 1, pairs], or back by them; pairs are neighbours or halves of the last 2 * pairs numbers.
at::Tensor Rotated(const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine,
                   bool neighbours, bool back);

}  // namespace cloister::trainer::plain
