#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "model/rope.h"

namespace cloister::trainer {

// Cosines and sines of position * inverse frequency, times the rope's scale, fp32
// [batch or 1, tokens, 1, rotary_dim / 2] each, contiguous: they stand beside heads [batch, tokens,
// heads, ..].
struct RotaryTable {
  at::Tensor cosine, sine;
  model::Rope::Layout layout = model::Rope::Layout::kHalves;
};

// For sequences of `tokens` positions. `lengths`, one a sequence, are what the frequencies go by
// where they depend on the length; a sequence's own length, so that none looks at another's.
RotaryTable MakeRotaryTable(const model::Rope& rope, std::int64_t rotary_dim, std::int64_t tokens,
                            std::span<const std::int64_t> lengths);

// Rotates the pairs of the last rotary_dim numbers of each head of x [batch, tokens, heads, size],
// row t by position t (Su et al. 2021); the numbers before them are copied. Differentiable in x.
at::Tensor Rotate(const at::Tensor& x, const RotaryTable& table);

}  // namespace cloister::trainer
