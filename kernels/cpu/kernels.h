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

// output[t, r] = sum over c of input[t, c] * weights[r, c].
struct MatmulArguments {
  const std::byte* weights = nullptr;  // `rows` rows, of any alignment
  std::int64_t row_bytes = 0;
  std::int64_t rows = 0;
  std::int64_t columns = 0;  // whole blocks of the weights' type
  std::int64_t tokens = 0;
  const float* input = nullptr;  // float weights: [tokens, input_stride]
  std::int64_t input_stride = 0;
  QuantizedActivations quantized;  // block weights
  float* output = nullptr;         // [tokens, output_stride]
  std::int64_t output_stride = 0;
};
using Matmul = void (*)(const MatmulArguments&);

// One tier's kernels. Pure functions of their arguments, thread-safe; sizes may be any, also zero.
//
// Tiers agree. Sums of integer products are exact in each, so where the scales are powers of two
// and the sums stay under 2^24 block products are equal bit for bit. Otherwise |a - b| is at most
// 2^-20 times the sum of the terms' magnitudes for products and sums (Q4_0 and Q4_1 have a term for
// the level and one for the minimum), and 2^-20 (1 + |x|) relative for functions of exp(x). Within
// a tier a result depends on its own row and token alone, never on how many others are computed
// with it: one token at a time gives the same bits as many.
struct Kernels {
  Tier tier;

  // By model::DataType. F32, F16 and BF16 weights compute in fp32; Q8_0, Q4_0 and Q4_1 read
  // `quantized`.
  std::array<Matmul, 6> matmul;

  // `count` (whole blocks) activations to blocks of 32, rounding to nearest even; the same bits on
  // every tier. A block without magnitude over 2^-110 becomes zero; one with an infinity or NaN
  // gets a NaN scale, so that it shows in the logits.
  void (*quantize)(const float* from, std::int64_t count, std::int8_t* values, float* scales,
                   float* sums);

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
    const float* values = nullptr;  // [positions, dimension]
    std::int64_t positions = 0;
    std::int64_t dimension = 0;
    float* output = nullptr;  // [queries, output_stride]
    std::int64_t output_stride = 0;
  };
  void (*weighted_sum)(const WeightedSumArguments&);

  Matmul matmul_for(model::DataType type) const { return matmul[static_cast<std::size_t>(type)]; }
};

// Whether weights of `type` are multiplied with quantized activations.
bool UsesQuantizedActivations(model::DataType type);

// The kernels of `tier`. kFailedPrecondition when this processor lacks it.
base::Result<const Kernels*> Select(Tier tier);

}  // namespace cloister::kernels::cpu
