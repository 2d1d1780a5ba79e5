#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "kernels/cpu/tier.h"
#include "model/tensor.h"

namespace cloister::kernels::cpu {

// Activations rounded to blocks of 32: x ≈ scale * value, value in [-127, 127], scale the block's
// largest magnitude / 127 in fp32. `sums` is scale * (sum of the block's values).
constexpr std::int64_t kActivationBlock = 32;
struct QuantizedActivations {
  const std::int8_t* values = nullptr;  // [tokens, columns]
  const float* scales = nullptr;        // [tokens, columns / 32]
  const float* sums = nullptr;          // [tokens, columns / 32]
};

// The same in blocks of 256, for weights in blocks of 256. `sums` are of 16 neighbouring values.
constexpr std::int64_t kSuperBlock = 256;
constexpr std::int64_t kSuperBlockSums = 16;
struct SuperBlockActivations {
  const std::int8_t* values = nullptr;  // [tokens, columns]
  const float* scales = nullptr;        // [tokens, columns / 256]
  const std::int16_t* sums = nullptr;   // [tokens, columns / 16]
};

// What weights of a type are multiplied with.
enum class ActivationForm { kFloat, kBlocks, kSuperBlocks };
ActivationForm FormFor(model::DataType weights);

// output[t, r] = sum over c of input[t, c] * weights[r, c].
struct MatmulArguments {
  const std::byte* weights = nullptr;  // `rows` rows, of any alignment
  std::int64_t row_bytes = 0;
  std::int64_t rows = 0;
  std::int64_t columns = 0;  // whole blocks of the weights' type
  std::int64_t tokens = 0;
  model::BlockScales scales;   // of the tensor that F8 weights are a part of
  std::int64_t first_row = 0;  // of `weights` in that tensor
  // The activations, in the weights' form.
  const float* input = nullptr;  // [tokens, input_stride]
  std::int64_t input_stride = 0;
  QuantizedActivations quantized;
  SuperBlockActivations super_blocks;
  float* output = nullptr;  // [tokens, output_stride]
  std::int64_t output_stride = 0;
};
using Matmul = void (*)(const MatmulArguments&);

// One tier's kernels. Pure functions of their arguments, thread-safe; sizes may be any, also zero.
//
// Products of quantized weights are the same bits on every tier. A block's sum of integer products
// is exact, and one accumulator a row and token takes the blocks in order:
//   blocks of 32   a = fma(w.scale * x.scale, sum(level * value), a), and for types with a minimum
//                  a = fma(w.minimum, x.sum, a), which is -8 or -16 scales for Q4_0 and Q5_0
//   Q4_K, Q5_K     a = fma(w.scale * x.scale, sum(scales[s] * level * value), a), and
//                  a = fma(-(w.minimum * x.scale), sum(minimums[s] * value), a)
//   Q6_K           a = fma(w.scale * x.scale, sum(scales[s] * level * value), a)
// In the rest tiers differ by rounding: |a - b| is at most 2^-20 times the sum of the terms'
// magnitudes for products and sums, and 2^-20 (1 + |x|) relative for functions of exp(x). Within a
// tier a result depends on its own row and token alone, never on how many others are computed with
// it: one token at a time gives the same bits as many.
struct Kernels {
  Tier tier;

  // By model::DataType.
  std::array<Matmul, model::kAllDataTypes.size()> matmul;

  // `count` (whole blocks) activations to blocks of 32, rounding to nearest even; the same bits on
  // every tier. A block without magnitude over 2^-110 becomes zero; one with an infinity or NaN
  // gets a NaN scale, so that it shows in the logits.
  void (*quantize)(const float* from, std::int64_t count, std::int8_t* values, float* scales,
                   float* sums);
  // The same to blocks of 256.
  void (*quantize_super_blocks)(const float* from, std::int64_t count, std::int8_t* values,
                                float* scales, std::int16_t* sums);

  float (*dot)(const float* a, const float* b, std::int64_t count);
  // y += alpha * x
  void (*axpy)(float alpha, const float* x, float* y, std::int64_t count);
  // to[i] = from[i] / sqrt(mean(from^2) + eps) * weight[i] (Zhang and Sennrich 2019, eq. 4)
  void (*rms_norm)(const float* from, const float* weight, float eps, std::int64_t count,
                   float* to);
  // In place, the maximum subtracted first.
  void (*softmax)(float* x, std::int64_t count);
  // Rotates the pairs (x[i], x[i + half]) by the angles whose cosines and sines are given
  // (Su et al. 2021, eq. 34, in the half layout).
  void (*rope)(float* x, const float* cosines, const float* sines, std::int64_t half);
  // to[i] = gate[i] / (1 + exp(-gate[i])) * up[i]; `to` may be `gate` or `up`.
  void (*silu_multiply)(const float* gate, const float* up, std::int64_t count, float* to);
  // output[q, d] = sum over p < positions of weights[q, p] * values[p, d], p rising. A zero weight
  // adds exactly nothing to a finite value's sum.
  struct WeightedSumArguments {
    const float* weights = nullptr;  // [queries, weight_stride]
    std::int64_t weight_stride = 0;
    std::int64_t queries = 0;
    const float* values = nullptr;  // [positions, value_stride]
    std::int64_t value_stride = 0;
    std::int64_t positions = 0;
    std::int64_t dimension = 0;
    float* output = nullptr;  // [queries, output_stride]
    std::int64_t output_stride = 0;
  };
  void (*weighted_sum)(const WeightedSumArguments&);

  Matmul matmul_for(model::DataType type) const { return matmul[static_cast<std::size_t>(type)]; }
};

// The kernels of `tier`. kFailedPrecondition when this processor lacks it.
base::Result<const Kernels*> Select(Tier tier);

}  // namespace cloister::kernels::cpu
