#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "kernels/cpu/tables.h"

namespace cloister::kernels::cpu::scalar {
namespace {

constexpr std::uint32_t kMagnitude = 0x7fffffffu;
constexpr std::uint32_t kInfinity = 0x7f800000u;
constexpr std::uint32_t kSmallest = (127u - 110u) << 23;  // 2^-110

void QuantizeBlock(const float* from, std::int8_t* values, float& scale, float& sum) {
  // Magnitudes compare as integers in the order of the floats, with NaN above infinity.
  std::uint32_t largest = 0;
  for (int i = 0; i < kActivationBlock; ++i) {
    largest = std::max(largest, std::bit_cast<std::uint32_t>(from[i]) & kMagnitude);
  }
  if (largest <= kSmallest || largest >= kInfinity) {
    std::fill_n(values, kActivationBlock, std::int8_t{0});
    scale = largest >= kInfinity ? std::numeric_limits<float>::quiet_NaN() : 0.0f;
    sum = scale;
    return;
  }
  const float magnitude = std::bit_cast<float>(largest);
  scale = magnitude / 127.0f;
  const float inverse = 127.0f / magnitude;
  std::int32_t total = 0;
  for (int i = 0; i < kActivationBlock; ++i) {
    const auto value = static_cast<std::int32_t>(std::lrintf(from[i] * inverse));
    values[i] = static_cast<std::int8_t>(value);
    total += value;
  }
  sum = scale * static_cast<float>(total);
}

}  // namespace

void Quantize(const float* from, std::int64_t count, std::int8_t* values, float* scales,
              float* sums) {
  for (std::int64_t b = 0; b < count / kActivationBlock; ++b) {
    QuantizeBlock(from + b * kActivationBlock, values + b * kActivationBlock, scales[b], sums[b]);
  }
}

float Dot(const float* a, const float* b, std::int64_t count) {
  float sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

void Axpy(float alpha, const float* x, float* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] += alpha * x[i];
}

void RmsNorm(const float* from, const float* weight, float eps, std::int64_t count, float* to) {
  double squares = 0;
  for (std::int64_t i = 0; i < count; ++i) squares += static_cast<double>(from[i]) * from[i];
  const auto mean = static_cast<float>(squares / static_cast<double>(count));
  const float inverse = 1.0f / std::sqrt(mean + eps);
  for (std::int64_t i = 0; i < count; ++i) to[i] = from[i] * inverse * weight[i];
}

void Softmax(float* x, std::int64_t count) {
  if (count == 0) return;
  const float largest = *std::max_element(x, x + count);
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    x[i] = std::exp(x[i] - largest);
    sum += x[i];
  }
  const auto inverse = static_cast<float>(1.0 / sum);
  for (std::int64_t i = 0; i < count; ++i) x[i] *= inverse;
}

void Rope(float* x, const float* cosines, const float* sines, std::int64_t half) {
  for (std::int64_t i = 0; i < half; ++i) {
    const float a = x[i];
    const float b = x[i + half];
    x[i] = a * cosines[i] - b * sines[i];
    x[i + half] = b * cosines[i] + a * sines[i];
  }
}

void SiluMultiply(const float* gate, const float* up, std::int64_t count, float* to) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = gate[i] / (1.0f + std::exp(-gate[i])) * up[i];
}

void WeightedSum(const Kernels::WeightedSumArguments& a) {
  for (std::int64_t q = 0; q < a.queries; ++q) {
    float* output = a.output + q * a.output_stride;
    std::fill_n(output, a.dimension, 0.0f);
    for (std::int64_t p = 0; p < a.positions; ++p) {
      Axpy(a.weights[q * a.weight_stride + p], a.values + p * a.dimension, output, a.dimension);
    }
  }
}

}  // namespace cloister::kernels::cpu::scalar
