#pragma once

#include <ATen/core/Tensor.h>

namespace cloister::trainer {

// The network's pieces as differentiable functions that keep for the backward pass only what it
// needs. All fp32, batch first. None looks across examples.

// x / rms(x) * weight over the last dimension (Zhang and Sennrich 2019).
at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double epsilon);
// Its parts: 1 / rms(x), [.., 1], and the gradient of x for the output's `gradient`.
at::Tensor InverseRms(const at::Tensor& x, double epsilon);
at::Tensor RmsNormInputGradient(const at::Tensor& gradient, const at::Tensor& x,
                                const at::Tensor& weight, const at::Tensor& inverse);

// silu(gate) * up for gate_up [.., 2 * intermediate]: gate first.
at::Tensor SwiGlu(const at::Tensor& gate_up);

}  // namespace cloister::trainer
