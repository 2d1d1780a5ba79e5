#include <immintrin.h>

#include "kernels/cpu/avx2_common.h"
#include "kernels/cpu/tables.h"

namespace cloister::kernels::cpu::avx2 {
namespace {

// exp(x) for eight lanes: x = n ln 2 + r, |r| <= ln 2 / 2, a degree 6 Taylor polynomial in r times
// 2^n. Below -87.3 the result is zero, above 88.7 infinity; NaN stays NaN.
__m256 Exp8(__m256 x) {
  const __m256 lowest = _mm256_set1_ps(-87.3f);
  const __m256 highest = _mm256_set1_ps(88.7f);
  const __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)),
                                   _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  // ln 2 in two parts: the first has few bits, so that n times it is exact.
  __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), x);
  r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), r);
  __m256 p = _mm256_set1_ps(1.0f / 720);
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 120));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 24));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 6));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.5f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
  // 2^n in two factors, because 2^128 has no exponent of its own.
  const __m256i whole = _mm256_cvtps_epi32(n);
  const __m256i first = _mm256_srai_epi32(whole, 1);
  const __m256i bias = _mm256_set1_epi32(127);
  const auto power = [&](__m256i e) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(e, bias), 23));
  };
  p = _mm256_mul_ps(_mm256_mul_ps(p, power(first)), power(_mm256_sub_epi32(whole, first)));
  p = _mm256_blendv_ps(p, _mm256_setzero_ps(), _mm256_cmp_ps(x, lowest, _CMP_LT_OQ));
  const __m256 infinity = _mm256_set1_ps(__builtin_inff());
  p = _mm256_blendv_ps(p, infinity, _mm256_cmp_ps(x, highest, _CMP_GT_OQ));
  return _mm256_blendv_ps(p, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

__m256 Silu8(__m256 gate, __m256 up) {
  const __m256 one = _mm256_set1_ps(1.0f);
  const __m256 negative = _mm256_sub_ps(_mm256_setzero_ps(), gate);
  return _mm256_mul_ps(_mm256_div_ps(gate, _mm256_add_ps(one, Exp8(negative))), up);
}

// The largest; a NaN is passed over.
float Largest(const float* x, std::int64_t count) {
  const __m256 lowest = _mm256_set1_ps(-__builtin_inff());
  __m256 largest[4] = {lowest, lowest, lowest, lowest};
  std::int64_t i = 0;
  for (; i + 32 <= count; i += 32) {
    for (int k = 0; k < 4; ++k) {  // the second operand is what is left of two where one is NaN
      largest[k] = _mm256_max_ps(_mm256_loadu_ps(x + i + 8 * k), largest[k]);
    }
  }
  for (; i + 8 <= count; i += 8) largest[0] = _mm256_max_ps(_mm256_loadu_ps(x + i), largest[0]);
  largest[0] =
      _mm256_max_ps(_mm256_max_ps(largest[0], largest[1]), _mm256_max_ps(largest[2], largest[3]));
  alignas(32) float lanes[8];
  _mm256_store_ps(lanes, largest[0]);
  float result = lanes[0];
  for (int k = 1; k < 8; ++k) result = lanes[k] > result ? lanes[k] : result;
  for (; i < count; ++i) result = x[i] > result ? x[i] : result;
  return result;
}

}  // namespace

float Dot(const float* a, const float* b, std::int64_t count) {
  __m256 sums = _mm256_setzero_ps();
  std::int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    sums = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), sums);
  }
  float sum = Sum8(sums);
  for (; i < count; ++i) sum = __builtin_fmaf(a[i], b[i], sum);
  return sum;
}

void Axpy(float alpha, const float* x, float* y, std::int64_t count) {
  const __m256 factor = _mm256_set1_ps(alpha);
  std::int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    _mm256_storeu_ps(y + i,
                     _mm256_fmadd_ps(factor, _mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i)));
  }
  for (; i < count; ++i) y[i] = __builtin_fmaf(alpha, x[i], y[i]);
}

void RmsNorm(const float* from, const float* weight, float eps, std::int64_t count, float* to) {
  const float mean = Dot(from, from, count) / static_cast<float>(count);
  const float inverse = 1.0f / __builtin_sqrtf(mean + eps);
  const __m256 factor = _mm256_set1_ps(inverse);
  std::int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(from + i), factor);
    _mm256_storeu_ps(to + i, _mm256_mul_ps(scaled, _mm256_loadu_ps(weight + i)));
  }
  for (; i < count; ++i) to[i] = from[i] * inverse * weight[i];
}

void Softmax(float* x, std::int64_t count) {
  if (count == 0) return;
  const __m256 largest = _mm256_set1_ps(Largest(x, count));
  __m256 sums = _mm256_setzero_ps();
  std::int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m256 e = Exp8(_mm256_sub_ps(_mm256_loadu_ps(x + i), largest));
    _mm256_storeu_ps(x + i, e);
    sums = _mm256_add_ps(sums, e);
  }
  if (i < count) {
    const __m256i mask = FirstLanes(count - i);
    const __m256 e = Exp8(_mm256_sub_ps(_mm256_maskload_ps(x + i, mask), largest));
    _mm256_maskstore_ps(x + i, mask, e);
    sums = _mm256_add_ps(sums, _mm256_and_ps(e, _mm256_castsi256_ps(mask)));
  }
  const float inverse = 1.0f / Sum8(sums);
  const __m256 factor = _mm256_set1_ps(inverse);
  for (i = 0; i + 8 <= count; i += 8) {
    _mm256_storeu_ps(x + i, _mm256_mul_ps(_mm256_loadu_ps(x + i), factor));
  }
  for (; i < count; ++i) x[i] *= inverse;
}

void Rope(float* x, const float* cosines, const float* sines, std::int64_t half) {
  std::int64_t i = 0;
  for (; i + 8 <= half; i += 8) {
    const __m256 a = _mm256_loadu_ps(x + i);
    const __m256 b = _mm256_loadu_ps(x + i + half);
    const __m256 c = _mm256_loadu_ps(cosines + i);
    const __m256 s = _mm256_loadu_ps(sines + i);
    _mm256_storeu_ps(x + i, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)));
    _mm256_storeu_ps(x + i + half, _mm256_fmadd_ps(b, c, _mm256_mul_ps(a, s)));
  }
  for (; i < half; ++i) {
    const float a = x[i];
    const float b = x[i + half];
    x[i] = a * cosines[i] - b * sines[i];
    x[i + half] = b * cosines[i] + a * sines[i];
  }
}

void SiluMultiply(const float* gate, const float* up, std::int64_t count, float* to) {
  std::int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    _mm256_storeu_ps(to + i, Silu8(_mm256_loadu_ps(gate + i), _mm256_loadu_ps(up + i)));
  }
  if (i < count) {
    const __m256i mask = FirstLanes(count - i);
    const __m256 tail = Silu8(_mm256_maskload_ps(gate + i, mask), _mm256_maskload_ps(up + i, mask));
    _mm256_maskstore_ps(to + i, mask, tail);
  }
}

}  // namespace cloister::kernels::cpu::avx2
