#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "model/architecture.h"
#include "trainer/networks/adapter_paths.h"
#include "trainer/networks/rotary.h"
#include "trainer/networks/weights.h"

namespace cloister::trainer {

// What one forward pass knows of its positions.
struct Positions {
  RotaryTable rotary;
  // bool [tokens, tokens], true where the row's token sees the column's within the sliding window;
  // undefined where no layer has a window that hides anything.
  at::Tensor window;
  // Of sequences that stand behind one another in one row: how many tokens each has. Empty where
  // each has a row of its own.
  std::vector<std::int64_t> segments;

  Positions On(const at::Device& device) const;
};
// On the CPU. For a batch of sequences; `lengths` as for MakeRotaryTable.
Positions MakePositions(const model::Architecture& architecture, std::int64_t tokens,
                        std::span<const std::int64_t> lengths);
// For one row of `segments`, each from position 0; `lengths`, one a segment, as above.
Positions MakePackedPositions(const model::Architecture& architecture,
                              std::span<const std::int64_t> segments,
                              std::span<const std::int64_t> lengths);

// Keys and values of one layer that later tokens attend to; undefined before the first.
struct KeyValues {
  at::Tensor k, v;  // [batch, heads, tokens, size], k rotated

  // Puts those of the tokens that follow behind them, and gives all.
  void Append(at::Tensor& more_k, at::Tensor& more_v);
};

// Causal softmax(scale q k^T) v, fp32. q [batch, heads, tokens, head_dim]; k and v with kv_heads,
// each serving heads / kv_heads consecutive query heads; v of any head size. `window` as in
// Positions, undefined: a token sees all before it. Right padding needs no mask: a token never sees
// what stands after it, and none of another segment, as in Positions. A single query sees every
// key.
at::Tensor CausalAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           double scale, const at::Tensor& window,
                           std::span<const std::int64_t> segments = {});

// Grouped-query attention (Ainslie et al. 2023) of x [batch, tokens, hidden] before the output
// projection: [batch, tokens, query_size]. `window` and `segments` as for CausalAttention. With
// `past`, x is what follows the tokens there: all tokens of an empty one, or one token.
at::Tensor GroupedAttention(const model::Architecture& architecture,
                            const GroupedAttentionWeights& weights, const at::Tensor& x,
                            const RotaryTable& rotary, const at::Tensor& window,
                            const LayerAdapter& adapter,
                            std::span<const std::int64_t> segments = {}, KeyValues* past = nullptr);

}  // namespace cloister::trainer
