#pragma once

// The body of the row kernels, compiled once a tier: sixteen fp32 lanes as the compiler's vectors,
// which become one, two or four registers. No product and sum are contracted (see CMakeLists.txt)
// and sums go over the lanes in one order, so that every tier computes the same bits. Everything is
// inside this file's unnamed namespace, and nothing of the standard library is called that another
// file could share: code for one tier's instructions must not be linked into another's.

#include <cstdint>

#include "trainer/networks/row_kernels.h"

namespace cloister::trainer {
namespace {

constexpr std::int64_t kLanes = 16;
using Floats [[gnu::vector_size(64)]] = float;
using Words [[gnu::vector_size(64)]] = std::uint32_t;
using Halves [[gnu::vector_size(32)]] = std::uint16_t;

Floats Load(const float* from) {
  Floats x;
  __builtin_memcpy(&x, from, sizeof x);
  return x;
}
Floats Load(const Bf16* from) {
  Halves x;
  __builtin_memcpy(&x, from, sizeof x);
  return reinterpret_cast<Floats>(__builtin_convertvector(x, Words) << 16);
}
void Store(float* to, Floats x) { __builtin_memcpy(to, &x, sizeof x); }
void Store(Bf16* to, Floats x) {
  const auto words = reinterpret_cast<Words>(x);
  const Words rounded = (words + 0x7fffU + ((words >> 16) & 1U)) >> 16;
  const Words nan = (words >> 16) | 0x40U;  // rounding could make it an infinity
  const Halves halves = __builtin_convertvector(x == x ? rounded : nan, Halves);
  __builtin_memcpy(to, &halves, sizeof halves);
}

// `left` numbers, at least one, and zeros where there are fewer than kLanes.
template <typename T>
Floats Load(const T* from, std::int64_t left) {
  if (left >= kLanes) return Load(from);
  T some[kLanes] = {};
  for (std::int64_t i = 0; i < left; ++i) some[i] = from[i];
  return Load(some);
}
template <typename T>
void Store(T* to, Floats x, std::int64_t left) {
  if (left >= kLanes) {
    Store(to, x);
    return;
  }
  T some[kLanes];
  Store(some, x);
  for (std::int64_t i = 0; i < left; ++i) to[i] = some[i];
}

float Sum(Floats x) {
  for (std::int64_t half = kLanes / 2; half > 0; half /= 2) {
    for (std::int64_t i = 0; i < half; ++i) x[i] += x[i + half];
  }
  return x[0];
}

// e^x for x from -87 to 88, clamped to that, within 2 units in the last place; NaN stays. Cody and
// Waite's reduction and the polynomial of Cephes' expf.
Floats Exp(Floats x) {
  x = x < -87.0F ? Floats{} - 87.0F : x;
  x = x > 88.0F ? Floats{} + 88.0F : x;
  constexpr float kRound = 0x1.8p23F;  // adding it leaves an integer in the lowest bits
  const Floats shifted = x * 1.44269504088896341F + kRound;
  const Floats n = shifted - kRound;
  const Floats r = x - n * 0.693359375F + n * 2.12194440e-4F;
  Floats p = r * 1.9875691500e-4F + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * r * r + r + 1.0F;
  const auto scaled = reinterpret_cast<Floats>(reinterpret_cast<Words>(p) +
                                               (reinterpret_cast<Words>(shifted) << 23));
  return x == x ? scaled : x;  // a NaN's payload would be added to the exponent
}

Floats Sigmoid(Floats x) { return 1.0F / (1.0F + Exp(-x)); }

template <typename T>
void RmsNorm(const float* x, const float* weight, float epsilon, std::int64_t rows,
             std::int64_t size, T* y, float* inverse) {
  for (std::int64_t row = 0; row < rows; ++row, x += size, y += size) {
    Floats even = {}, odd = {};
    for (std::int64_t i = 0; i < size; i += 2 * kLanes) {
      const Floats first = Load(x + i, size - i);
      even += first * first;
      if (size - i <= kLanes) break;
      const Floats second = Load(x + i + kLanes, size - i - kLanes);
      odd += second * second;
    }
    const float scale =
        1.0F / __builtin_sqrtf(Sum(even + odd) / static_cast<float>(size) + epsilon);
    inverse[row] = scale;
    for (std::int64_t i = 0; i < size; i += kLanes) {
      Store(y + i, Load(x + i, size - i) * scale * Load(weight + i, size - i), size - i);
    }
  }
}

// With n = x * inverse:  inverse * (g weight - n * mean(g weight n)).
template <typename T>
void RmsNormBackward(const T* g, const float* x, const float* weight, const float* inverse,
                     std::int64_t rows, std::int64_t size, float* result) {
  for (std::int64_t row = 0; row < rows; ++row, g += size, x += size, result += size) {
    Floats sum = {};
    for (std::int64_t i = 0; i < size; i += kLanes) {
      sum += Load(g + i, size - i) * Load(weight + i, size - i) * Load(x + i, size - i);
    }
    const float scale = inverse[row];
    const float mean = Sum(sum) * scale * scale / static_cast<float>(size);
    for (std::int64_t i = 0; i < size; i += kLanes) {
      const Floats direct = Load(g + i, size - i) * Load(weight + i, size - i);
      Store(result + i, (direct - Load(x + i, size - i) * mean) * scale, size - i);
    }
  }
}

template <typename T>
void SwiGlu(const T* gate_up, std::int64_t rows, std::int64_t size, T* y) {
  for (std::int64_t row = 0; row < rows; ++row, gate_up += 2 * size, y += size) {
    for (std::int64_t i = 0; i < size; i += kLanes) {
      const Floats gate = Load(gate_up + i, size - i), up = Load(gate_up + size + i, size - i);
      Store(y + i, gate * Sigmoid(gate) * up, size - i);
    }
  }
}

template <typename T>
void SwiGluBackward(const T* g, const T* gate_up, std::int64_t rows, std::int64_t size, T* result) {
  for (std::int64_t row = 0; row < rows;
       ++row, g += size, gate_up += 2 * size, result += 2 * size) {
    for (std::int64_t i = 0; i < size; i += kLanes) {
      const Floats gate = Load(gate_up + i, size - i), up = Load(gate_up + size + i, size - i);
      const Floats sigmoid = Sigmoid(gate), of = Load(g + i, size - i);
      Store(result + i, of * up * (sigmoid * (1.0F + gate * (1.0F - sigmoid))), size - i);
      Store(result + size + i, of * (gate * sigmoid), size - i);
    }
  }
}

template <typename T>
void Rotate(const T* x, std::int64_t stride, const float* cosine, const float* sine,
            std::int64_t heads, std::int64_t size, std::int64_t pairs, bool neighbours, bool back,
            T* y) {
  const float sign = back ? -1.0F : 1.0F;
  const std::int64_t start = size - 2 * pairs;
  for (std::int64_t head = 0; head < heads; ++head, x += stride, y += size) {
    for (std::int64_t i = 0; i < start; ++i) y[i] = x[i];
    const T* from = x + start;
    T* to = y + start;
    for (std::int64_t i = 0; i < pairs; i += kLanes) {
      const std::int64_t left = pairs - i, count = left < kLanes ? left : kLanes;
      T first[kLanes] = {}, second[kLanes] = {};
      if (neighbours) {
        for (std::int64_t k = 0; k < count; ++k) {
          first[k] = from[2 * (i + k)];
          second[k] = from[2 * (i + k) + 1];
        }
      }
      const Floats a = neighbours ? Load(first) : Load(from + i, left);
      const Floats b = neighbours ? Load(second) : Load(from + pairs + i, left);
      const Floats c = Load(cosine + i, left), s = Load(sine + i, left) * sign;
      if (!neighbours) {
        Store(to + i, a * c - b * s, left);
        Store(to + pairs + i, b * c + a * s, left);
        continue;
      }
      Store(first, a * c - b * s);
      Store(second, b * c + a * s);
      for (std::int64_t k = 0; k < count; ++k) {
        to[2 * (i + k)] = first[k];
        to[2 * (i + k) + 1] = second[k];
      }
    }
  }
}

// Of one row: e^(x - most) added up, in blocks whose sums are added in fp64.
template <typename T>
double SumOfExponentials(const T* x, float most, std::int64_t size) {
  constexpr std::int64_t kBlock = 64 * kLanes;
  double sum = 0;
  for (std::int64_t start = 0; start < size; start += kBlock) {
    const std::int64_t end = size - start < kBlock ? size : start + kBlock;
    Floats part = {};
    std::int64_t i = start;
    for (; i + kLanes <= end; i += kLanes) part += Exp(Load(x + i) - most);
    float rest = 0;
    if (i < end) {
      const Floats last = Exp(Load(x + i, end - i) - most);
      for (std::int64_t k = 0; k < end - i; ++k) rest += last[k];
    }
    sum += static_cast<double>(Sum(part)) + static_cast<double>(rest);
  }
  return sum;
}

template <typename T>
float Most(const T* x, std::int64_t size) {
  Floats most = Load(x, size);
  for (std::int64_t k = size; k < kLanes; ++k) most[k] = most[0];
  for (std::int64_t i = kLanes; i + kLanes <= size; i += kLanes) {
    const Floats one = Load(x + i);
    most = one > most ? one : most;
  }
  float best = most[0];
  for (std::int64_t k = 1; k < kLanes; ++k) best = most[k] > best ? most[k] : best;
  for (std::int64_t i = size - size % kLanes; i < size; ++i) {
    const float one = Load(x + i, 1)[0];
    best = one > best ? one : best;
  }
  return best;
}

// A NaN among the scores is in the sum, whatever Most() makes of it.
template <typename T>
void CrossEntropy(T* scores, const std::int64_t* target, std::int64_t rows, std::int64_t size,
                  bool differentiate, float* loss) {
  for (std::int64_t row = 0; row < rows; ++row, scores += size) {
    const float most = Most(scores, size);
    const double sum = SumOfExponentials(scores, most, size);
    const float of_target = Load(scores + target[row], 1)[0];
    loss[row] = static_cast<float>(__builtin_log(sum) - (static_cast<double>(of_target) - most));
    if (!differentiate) continue;
    const auto inverse = static_cast<float>(1 / sum);
    const float gradient = Exp(Floats{} + (of_target - most))[0] * inverse - 1.0F;
    for (std::int64_t i = 0; i < size; i += kLanes) {
      Store(scores + i, Exp(Load(scores + i, size - i) - most) * inverse, size - i);
    }
    Store(scores + target[row], Floats{} + gradient, 1);
  }
}

template <typename T>
constexpr RowKernels<T> kTable = {RmsNorm<T>,        RmsNormBackward<T>, SwiGlu<T>,
                                  SwiGluBackward<T>, Rotate<T>,          CrossEntropy<T>};

}  // namespace
}  // namespace cloister::trainer
