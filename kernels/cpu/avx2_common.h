#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

// Only for the files of the AVX2 tier. Unnamed, so that each keeps a copy of its own.
namespace cloister::kernels::cpu::avx2 {
namespace {

// The eight lanes added pairwise: always in the same order.
[[maybe_unused]] inline float Sum8(__m256 x) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

// Asks for the bytes `distance` behind `from`, so that rows which are read once, as in decoding,
// come in time. An address past the weights' end does no harm.
[[maybe_unused]] inline void PrefetchRow(const void* from, long distance) {
  _mm_prefetch(static_cast<const char*>(from) + distance, _MM_HINT_T0);
}

[[maybe_unused]] inline __m128i Load16Bytes(const std::byte* from) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
}
[[maybe_unused]] inline __m256i Load32Bytes(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}
[[maybe_unused]] inline void Store32Bytes(void* to, __m256i value) {
  _mm256_storeu_si256(static_cast<__m256i*>(to), value);
}
[[maybe_unused]] inline std::int32_t Load4Bytes(const void* from) {
  std::int32_t value;
  __builtin_memcpy(&value, from, sizeof(value));
  return value;
}

// a + b of 16 bits, in a register at this place of the program. Compilers like to compute many
// products first and to add them up later, which takes more registers than there are.
[[maybe_unused]] inline __m256i AddNow(__m256i a, __m256i b) {
  __m256i sum = _mm256_add_epi16(a, b);
  __asm__("" : "+x"(sum));
  return sum;
}

// Lane r is the sum of the lanes of rows[r].
[[maybe_unused]] inline __m256i SumRows(const __m256i (&rows)[8]) {
  const __m256i a = _mm256_hadd_epi32(rows[0], rows[1]);
  const __m256i b = _mm256_hadd_epi32(rows[2], rows[3]);
  const __m256i c = _mm256_hadd_epi32(rows[4], rows[5]);
  const __m256i d = _mm256_hadd_epi32(rows[6], rows[7]);
  const __m256i ab = _mm256_hadd_epi32(a, b);  // halves of rows 0 … 3 in each half
  const __m256i cd = _mm256_hadd_epi32(c, d);
  return _mm256_add_epi32(_mm256_permute2x128_si256(ab, cd, 0x20),
                          _mm256_permute2x128_si256(ab, cd, 0x31));
}

// The same for lanes of 16 bits, four of which may be added without overflow.
[[maybe_unused]] inline __m256i SumRows16(const __m256i (&rows)[8]) {
  const __m256i ab =
      _mm256_hadd_epi16(_mm256_hadd_epi16(rows[0], rows[1]), _mm256_hadd_epi16(rows[2], rows[3]));
  const __m256i cd =
      _mm256_hadd_epi16(_mm256_hadd_epi16(rows[4], rows[5]), _mm256_hadd_epi16(rows[6], rows[7]));
  const __m256i ones = _mm256_set1_epi16(1);
  const __m256i first = _mm256_madd_epi16(ab, ones);  // halves of rows 0 … 3 in each half
  const __m256i second = _mm256_madd_epi16(cd, ones);
  return _mm256_add_epi32(_mm256_permute2x128_si256(first, second, 0x20),
                          _mm256_permute2x128_si256(first, second, 0x31));
}

// Lane r of to[k] is lane k of rows[r]: four bytes of each of eight rows beside each other.
[[maybe_unused]] inline void Transpose(const __m256i (&rows)[8], __m256i (&to)[8]) {
  __m256i pairs[8];
  for (int i = 0; i < 4; ++i) {
    pairs[2 * i] = _mm256_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
    pairs[2 * i + 1] = _mm256_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
  }
  __m256i fours[8];
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 2; ++j) {
      fours[4 * i + 2 * j] = _mm256_unpacklo_epi64(pairs[4 * i + j], pairs[4 * i + 2 + j]);
      fours[4 * i + 2 * j + 1] = _mm256_unpackhi_epi64(pairs[4 * i + j], pairs[4 * i + 2 + j]);
    }
  }
  for (int k = 0; k < 4; ++k) {
    to[k] = _mm256_permute2x128_si256(fours[k], fours[4 + k], 0x20);
    to[4 + k] = _mm256_permute2x128_si256(fours[k], fours[4 + k], 0x31);
  }
}

// How many sums of two products of a level of at most `top` and an activation may be added before
// 16 bits overflow: 1, 2, 4 or 8.
constexpr int SumsBeforeOverflow(int top) {
  const int sums = 32767 / (2 * top * 127);
  return sums >= 8 ? 8 : sums >= 4 ? 4 : sums >= 2 ? 2 : 1;
}

// The first four bytes of eight rows that lie `stride` apart: two halves a row, as fp32.
struct Halves {
  __m256 first;
  __m256 second;
};
[[maybe_unused]] inline Halves LoadHalves(const std::byte* const (&rows)[8], std::int64_t at) {
  const auto load = [&](int r) { return _mm_cvtsi32_si128(Load4Bytes(rows[r] + at)); };
  const __m128i a = _mm_unpacklo_epi16(load(0), load(1));  // first 0 1, second 0 1
  const __m128i b = _mm_unpacklo_epi16(load(2), load(3));
  const __m128i c = _mm_unpacklo_epi16(load(4), load(5));
  const __m128i d = _mm_unpacklo_epi16(load(6), load(7));
  const __m128i ab = _mm_unpacklo_epi32(a, b);
  const __m128i cd = _mm_unpacklo_epi32(c, d);
  return {_mm256_cvtph_ps(_mm_unpacklo_epi64(ab, cd)), _mm256_cvtph_ps(_mm_unpackhi_epi64(ab, cd))};
}

// Masks with the first `count` (0 to 8) lanes on.
[[maybe_unused]] inline __m256i FirstLanes(std::int64_t count) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lanes);
}

// Results of eight rows and one token, of which the first `count` exist.
[[maybe_unused]] inline __m256 LoadResults(const float* from, std::int64_t count) {
  return count == 8 ? _mm256_loadu_ps(from) : _mm256_maskload_ps(from, FirstLanes(count));
}
[[maybe_unused]] inline void StoreResults(float* to, __m256 results, std::int64_t count) {
  if (count == 8) {
    _mm256_storeu_ps(to, results);
  } else {
    _mm256_maskstore_ps(to, FirstLanes(count), results);
  }
}

}  // namespace
}  // namespace cloister::kernels::cpu::avx2
