#include <algorithm>
#include <cmath>

#include "kernels/cpu/tables.h"

namespace cloister::kernels::cpu::scalar {
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
      Axpy(a.weights[q * a.weight_stride + p], a.values + p * a.value_stride, output, a.dimension);
    }
  }
}

}  // namespace cloister::kernels::cpu::scalar
