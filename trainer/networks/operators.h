#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "model/architecture.h"

namespace cloister::trainer {

// The network's pieces as differentiable functions that keep for the backward pass only what it
// needs. All fp32, batch first. None looks across examples.

// x / rms(x) * weight over the last dimension (Zhang and Sennrich 2019).
at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double epsilon);

// silu(gate) * up for gate_up [.., 2 * intermediate]: gate first.
at::Tensor SwiGlu(const at::Tensor& gate_up);

// Cosines and sines of position * frequency, [tokens, rotary_dim / 2] each.
struct RotaryTable {
  at::Tensor cosine, sine;
};
RotaryTable MakeRotaryTable(const model::Rope& rope, std::int64_t rotary_dim,
                            std::int64_t positions);

// Rotates pairs (i, i + head_dim/2) of x [batch, tokens, heads, head_dim] by the table's angles,
// row t for token t (Su et al. 2021, half layout).
at::Tensor Rotate(const at::Tensor& x, const RotaryTable& table);

// Causal softmax(q k^T / sqrt(head_dim)) v. q [batch, heads, tokens, head_dim]; k and v with
// kv_heads, each serving heads / kv_heads consecutive query heads. Right padding needs no mask: a
// token never sees what stands after it.
at::Tensor CausalAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

}  // namespace cloister::trainer
