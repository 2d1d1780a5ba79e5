#pragma once

// Inside trainer/networks/, its tests and its benchmark only: the network's operators that work on
// one row of numbers after another, each in one or two passes over memory, for each instruction set
// (row_kernels_lanes.h). No row's values depend on another row. All tiers give the same bits.

#include <cstdint>
#include <string_view>
#include <vector>

namespace cloister::trainer {

// A bfloat16 as it lies in memory; the arithmetic is fp32, rounded to nearest, ties to even, where
// a result is stored.
struct Bf16 {
  std::uint16_t bits;
};

// T is float or Bf16. Rows are contiguous and follow one another.
template <typename T>
struct RowKernels {
  // y = x * inverse * weight, inverse = 1 / sqrt(mean(x^2) + epsilon), of x [rows, size]; `inverse`
  // [rows].
  void (*rms_norm)(const float* x, const float* weight, float epsilon, std::int64_t rows,
                   std::int64_t size, T* y, float* inverse);
  // The gradient of x for the gradient g of y.
  void (*rms_norm_backward)(const T* g, const float* x, const float* weight, const float* inverse,
                            std::int64_t rows, std::int64_t size, float* result);
  // y = silu(gate) * up for gate_up [rows, 2 * size], gate first; y [rows, size].
  void (*swiglu)(const T* gate_up, std::int64_t rows, std::int64_t size, T* y);
  // The gradient of gate_up for the gradient g of y.
  void (*swiglu_backward)(const T* g, const T* gate_up, std::int64_t rows, std::int64_t size,
                          T* result);
  // Rotates by the angles of `cosine` and `sine` [pairs], or back by them: of each of `heads` heads
  // of `size` numbers, one `stride` after the other, the last 2 * pairs numbers. y has no gaps.
  // Pairs are halves of those numbers, or neighbours.
  void (*rotate)(const T* x, std::int64_t stride, const float* cosine, const float* sine,
                 std::int64_t heads, std::int64_t size, std::int64_t pairs, bool neighbours,
                 bool back, T* y);
  // loss[i] = -log softmax(scores[i])[target[i]] of scores [rows, size]. With `differentiate` the
  // scores become softmax(scores) - one-hot(target), as they are stored.
  void (*cross_entropy)(T* scores, const std::int64_t* target, std::int64_t rows, std::int64_t size,
                        bool differentiate, float* loss);
};

// Attention's scores, fp32: `rows` rows, `stride` apart, of which row i sees its first `seen` + i
// numbers, at most `width`. Up to a whole number of 16 numbers may be read of a row.
struct ScoreKernels {
  // What a row sees becomes softmax(scale * scores), and zeros follow up to `width`.
  // statistics[2 * i] is the largest scaled score m, and the number after it one over the sum of
  // e^(scale * score - m).
  void (*softmax)(float* scores, std::int64_t stride, std::int64_t rows, std::int64_t seen,
                  std::int64_t width, float scale, float* statistics);
  // The scores become the same probabilities by their statistics, and their gradients those of the
  // scores: scale * p * (gradient - inner[i]), where inner[i] is the row's sum of p * gradient.
  // Zeros follow in both.
  void (*softmax_backward)(float* scores, float* gradients, std::int64_t stride, std::int64_t rows,
                           std::int64_t seen, std::int64_t width, float scale,
                           const float* statistics, const float* inner);
  // result[i] = the inner product of row i of x and y, rows of `size` numbers `x_stride` and
  // `y_stride` apart.
  void (*inner_products)(const float* x, std::int64_t x_stride, const float* y,
                         std::int64_t y_stride, std::int64_t rows, std::int64_t size,
                         float* result);
};

// In rising order. kAvx2 is AVX2; kAvx512 AVX-512 F, BW, DQ and VL.
enum class RowTier { kScalar, kAvx2, kAvx512 };

// Those that this processor, and the operating system's saved state, can run; kScalar first.
std::vector<RowTier> SupportedRowTiers();

template <typename T>
RowKernels<T> KernelsOf(RowTier tier);
// Of the best tier.
template <typename T>
const RowKernels<T>& Kernels();
ScoreKernels ScoreKernelsOf(RowTier tier);
const ScoreKernels& BestScoreKernels();

// row_kernels_scalar.cc and its likes, compiled for their instructions.
struct RowKernelTables {
  RowKernels<float> fp32;
  RowKernels<Bf16> bf16;
  ScoreKernels scores;
};
RowKernelTables ScalarRowKernels();
RowKernelTables Avx2RowKernels();
RowKernelTables Avx512RowKernels();

}  // namespace cloister::trainer
