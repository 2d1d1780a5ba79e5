#include <immintrin.h>

#include "kernels/cpu/tables.h"

namespace cloister::kernels::cpu::avx2 {
namespace {

constexpr std::int32_t kInfinity = 0x7f800000;
constexpr std::int32_t kSmallest = (127 - 110) << 23;  // 2^-110

std::int32_t Reduce(__m256i x, __m128i (*combine)(__m128i, __m128i)) {
  __m128i four = combine(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  four = combine(four, _mm_shuffle_epi32(four, _MM_SHUFFLE(1, 0, 3, 2)));
  four = combine(four, _mm_shuffle_epi32(four, _MM_SHUFFLE(2, 3, 0, 1)));
  return _mm_cvtsi128_si32(four);
}

__m128i Max4(__m128i a, __m128i b) { return _mm_max_epi32(a, b); }
__m128i Add4(__m128i a, __m128i b) { return _mm_add_epi32(a, b); }

void QuantizeBlock(const float* from, std::int8_t* values, float* scale, float* sum) {
  __m256 x[4];
  // Magnitudes compare as integers in the order of the floats, with NaN above infinity.
  __m256i largest = _mm256_setzero_si256();
  for (int i = 0; i < 4; ++i) {
    x[i] = _mm256_loadu_ps(from + 8 * i);
    const __m256i magnitude =
        _mm256_and_si256(_mm256_castps_si256(x[i]), _mm256_set1_epi32(0x7fffffff));
    largest = _mm256_max_epi32(largest, magnitude);
  }
  const std::int32_t bits = Reduce(largest, Max4);
  auto* to = reinterpret_cast<__m256i*>(values);
  if (bits <= kSmallest || bits >= kInfinity) {
    _mm256_storeu_si256(to, _mm256_setzero_si256());
    *scale = *sum = bits >= kInfinity ? __builtin_nanf("") : 0.0f;
    return;
  }
  float magnitude;
  __builtin_memcpy(&magnitude, &bits, sizeof(magnitude));
  *scale = magnitude / 127.0f;
  const __m256 inverse = _mm256_set1_ps(127.0f / magnitude);
  __m256i whole[4];
  __m256i total = _mm256_setzero_si256();
  for (int i = 0; i < 4; ++i) {
    whole[i] = _mm256_cvtps_epi32(_mm256_mul_ps(x[i], inverse));
    total = _mm256_add_epi32(total, whole[i]);
  }
  // Packing works within halves of 128 bits, so groups of four bytes come out as 0 2 4 6 1 3 5 7.
  const __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(whole[0], whole[1]),
                                            _mm256_packs_epi32(whole[2], whole[3]));
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  _mm256_storeu_si256(to, _mm256_permutevar8x32_epi32(packed, order));
  *sum = *scale * static_cast<float>(Reduce(total, Add4));
}

}  // namespace

void Quantize(const float* from, std::int64_t count, std::int8_t* values, float* scales,
              float* sums) {
  for (std::int64_t b = 0; b < count / kActivationBlock; ++b) {
    QuantizeBlock(from + b * kActivationBlock, values + b * kActivationBlock, scales + b, sums + b);
  }
}

}  // namespace cloister::kernels::cpu::avx2
