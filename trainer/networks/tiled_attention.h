#pragma once

#include <ATen/core/Tensor.h>

#include "dp/clipping/tile_kernels.h"
#include "trainer/networks/row_kernels.h"

namespace cloister::trainer {

// Causal softmax(scale q k^T) v by tiles: no matrix of tokens x tokens is held, only some rows of
// it, and the scores are computed again for the gradient (Dao et al. 2022). What no token sees is
// not computed but for a tile's corner, and no key or value is repeated for the heads it serves.
// The sums are fp32; a token's output is a function of it and the tokens before it alone, bit for
// bit, whatever stands after it, unless that is not finite. No bit depends on the number of
// threads. A second derivative is refused (c10::Error).

// True of what TiledAttention() takes, on a processor with a kernel faster than the compiler's
// plain one.
bool TakesTiledAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

// q [batch, heads, tokens, size], k [batch, kv_heads, tokens, size], v [batch, kv_heads, tokens,
// value_size], fp32, any strides but of the last dimension, which is 1. The output [batch, heads,
// tokens, value_size] is the transpose of contiguous [batch, tokens, heads, value_size].
// Differentiable; keeps q, k, v, the output and two numbers a row. scale > 0.
at::Tensor TiledAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                          double scale);

// The parts of it, on kernels of the caller's choice. `statistics` [batch, heads, tokens, 2] as
// ScoreKernels' have them.
struct AttentionKernels {
  const dp::clipping::RowTileKernel& tiles;
  const ScoreKernels& scores;
};
struct AttentionOutput {
  at::Tensor y, statistics;
};
struct AttentionGradients {
  at::Tensor q, k, v;
};
AttentionOutput AttendForward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                              double scale, const AttentionKernels& kernels);
// For the gradient g of y.
AttentionGradients AttendBackward(const at::Tensor& g, const at::Tensor& q, const at::Tensor& k,
                                  const at::Tensor& v, const AttentionOutput& output, double scale,
                                  const AttentionKernels& kernels);

}  // namespace cloister::trainer
