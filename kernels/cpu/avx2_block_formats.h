#pragma once

#include <immintrin.h>

#include "kernels/cpu/avx2_common.h"

// Blocks of 32 weights for the AVX2 tier: 32 levels in a register, a byte each. Unnamed, as
// avx2_common.h.
namespace cloister::kernels::cpu::avx2 {
namespace {

// The low nibbles of 16 bytes, then their high nibbles.
inline __m256i Nibbles(const std::byte* from) {
  const __m256i both = _mm256_broadcastsi128_si256(Load16Bytes(from));
  const __m256i split = _mm256_srlv_epi64(both, _mm256_setr_epi64x(0, 0, 4, 4));
  return _mm256_and_si256(split, _mm256_set1_epi8(0x0f));
}

// 16 in byte i where bit i of the four bytes at `from` is set.
inline __m256i FifthBits(const std::byte* from) {
  const __m256i spread =
      _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
  const __m256i own = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201));
  const __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(Load4Bytes(from)), spread);
  const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, own), own);
  return _mm256_and_si256(set, _mm256_set1_epi8(16));
}

// kMinimum: where a weight's second term comes from: nothing, the scale times this, or a half that
// follows the scale's (kStored).
constexpr int kStored = 1;

struct Q8_0 {
  static constexpr std::int64_t kBytes = 34;
  static constexpr bool kSigned = true;
  static constexpr int kTop = 128;
  static constexpr int kMinimum = 0;
  static __m256i Levels(const std::byte* from) { return Load32Bytes(from + 2); }
};
struct Q4_0 {
  static constexpr std::int64_t kBytes = 18;
  static constexpr bool kSigned = false;
  static constexpr int kTop = 15;
  static constexpr int kMinimum = -8;
  static __m256i Levels(const std::byte* from) { return Nibbles(from + 2); }
};
struct Q4_1 {
  static constexpr std::int64_t kBytes = 20;
  static constexpr bool kSigned = false;
  static constexpr int kTop = 15;
  static constexpr int kMinimum = kStored;
  static __m256i Levels(const std::byte* from) { return Nibbles(from + 4); }
};
struct Q5_0 {
  static constexpr std::int64_t kBytes = 22;
  static constexpr bool kSigned = false;
  static constexpr int kTop = 31;
  static constexpr int kMinimum = -16;
  static __m256i Levels(const std::byte* from) {
    return _mm256_or_si256(Nibbles(from + 6), FifthBits(from + 2));
  }
};
struct Q5_1 {
  static constexpr std::int64_t kBytes = 24;
  static constexpr bool kSigned = false;
  static constexpr int kTop = 31;
  static constexpr int kMinimum = kStored;
  static __m256i Levels(const std::byte* from) {
    return _mm256_or_si256(Nibbles(from + 8), FifthBits(from + 4));
  }
};

// Sums of neighbouring products, sixteen of 16 bits. Exact: a pair is at most 2 * 128 * 127. The
// instruction multiplies unsigned by signed bytes, so a signed level's sign moves to its
// activation.
template <typename Format>
__m256i SumPairs(__m256i levels, __m256i x) {
  if constexpr (Format::kSigned) {
    return _mm256_maddubs_epi16(_mm256_sign_epi8(levels, levels), _mm256_sign_epi8(x, levels));
  } else {
    return _mm256_maddubs_epi16(levels, x);
  }
}

}  // namespace
}  // namespace cloister::kernels::cpu::avx2
