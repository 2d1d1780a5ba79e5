#pragma once

#include <ATen/core/Tensor.h>

namespace cloister::trainer {

// The network's pieces as differentiable functions that keep for the backward pass only what it
// needs. All fp32, batch first. None looks across examples.

// x / rms(x) * weight over the last dimension (Zhang and Sennrich 2019).
at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double epsilon);

// silu(gate) * up for gate_up [.., 2 * intermediate]: gate first.
at::Tensor SwiGlu(const at::Tensor& gate_up);

}  // namespace cloister::trainer
