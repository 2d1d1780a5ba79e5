#include <immintrin.h>

#include "kernels/cpu/avx2_common.h"
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

struct Range {
  float scale;
  float inverse;
  bool none;  // all values are zeros
};

Range RangeOf(const float* from, std::int64_t size) {
  // Magnitudes compare as integers in the order of the floats, with NaN above infinity.
  __m256i largest = _mm256_setzero_si256();
  for (std::int64_t i = 0; i < size; i += 8) {
    const __m256i bits = Load32Bytes(from + i);
    largest = _mm256_max_epi32(largest, _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff)));
  }
  const std::int32_t bits = Reduce(largest, Max4);
  if (bits >= kInfinity) return {__builtin_nanf(""), 0, true};
  if (bits <= kSmallest) return {0, 0, true};
  float magnitude;
  __builtin_memcpy(&magnitude, &bits, sizeof(magnitude));
  return {magnitude / 127.0f, 127.0f / magnitude, false};
}

// 32 values; returns lanes that add up to their sum.
__m256i Round32(const float* from, const Range& range, std::int8_t* values) {
  if (range.none) {
    Store32Bytes(values, _mm256_setzero_si256());
    return _mm256_setzero_si256();
  }
  const __m256 inverse = _mm256_set1_ps(range.inverse);
  __m256i whole[4];
  for (int i = 0; i < 4; ++i) {
    whole[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(from + 8 * i), inverse));
  }
  // Packing works within halves of 128 bits, so groups of four bytes come out as 0 2 4 6 1 3 5 7.
  const __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(whole[0], whole[1]),
                                            _mm256_packs_epi32(whole[2], whole[3]));
  const __m256i ordered =
      _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  Store32Bytes(values, ordered);
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), ordered);
  return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

}  // namespace

void Quantize(const float* from, std::int64_t count, std::int8_t* values, float* scales,
              float* sums) {
  for (std::int64_t b = 0; b < count / kActivationBlock; ++b) {
    const float* block = from + b * kActivationBlock;
    const Range range = RangeOf(block, kActivationBlock);
    const __m256i sum = Round32(block, range, values + b * kActivationBlock);
    scales[b] = range.scale;
    sums[b] = range.scale * static_cast<float>(Reduce(sum, Add4));
  }
}

void QuantizeSuperBlocks(const float* from, std::int64_t count, std::int8_t* values, float* scales,
                         std::int16_t* sums) {
  for (std::int64_t b = 0; b < count / kSuperBlock; ++b) {
    const Range range = RangeOf(from + b * kSuperBlock, kSuperBlock);
    scales[b] = range.scale;
    for (std::int64_t i = b * kSuperBlock; i < (b + 1) * kSuperBlock; i += 32) {
      const __m256i lanes = Round32(from + i, range, values + i);
      const __m256i twos = _mm256_hadd_epi32(lanes, lanes);
      const __m256i fours = _mm256_hadd_epi32(twos, twos);
      sums[i / 16] = static_cast<std::int16_t>(_mm256_extract_epi32(fours, 0));
      sums[i / 16 + 1] = static_cast<std::int16_t>(_mm256_extract_epi32(fours, 4));
    }
  }
}

}  // namespace cloister::kernels::cpu::avx2
