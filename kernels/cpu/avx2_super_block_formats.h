#pragma once

#include <immintrin.h>

#include "kernels/cpu/avx2_common.h"

// Blocks of 256 weights for the AVX2 tier: eight registers of 32 levels, a byte each, and the
// parts' scales. Unnamed, as avx2_common.h.
namespace cloister::kernels::cpu::avx2 {
namespace {

constexpr int kRegisters = 8;  // of 32 levels in a block

// Sums over a block of one row and one token: the lanes' total is meant.
struct SuperSums {
  __m256i products;
  __m256i minimums;
};

// 32 levels a register from 128 bytes: the low nibbles of 32 bytes, then their high nibbles.
inline __m256i SuperNibbles(const std::byte* from, int i) {
  const __m256i both = Load32Bytes(from + i / 2 * 32);
  const __m256i own = i % 2 == 0 ? both : _mm256_srli_epi16(both, 4);
  return _mm256_and_si256(own, _mm256_set1_epi8(0x0f));
}

// Q4_K and Q5_K: eight scales and minimums of six bits in 12 bytes.
struct AffineHead {
  std::uint64_t scales;    // a byte each
  std::uint64_t minimums;  // a byte each

  static AffineHead Load(const std::byte* from) {
    const auto first = static_cast<std::uint32_t>(Load4Bytes(from));
    const auto second = static_cast<std::uint32_t>(Load4Bytes(from + 4));
    const auto third = static_cast<std::uint32_t>(Load4Bytes(from + 8));
    const std::uint32_t upper_scales = (third & 0x0f0f0f0fu) | (first >> 2 & 0x30303030u);
    const std::uint32_t upper_minimums = (third >> 4 & 0x0f0f0f0fu) | (second >> 2 & 0x30303030u);
    return {static_cast<std::uint64_t>(upper_scales) << 32 | (first & 0x3f3f3f3fu),
            static_cast<std::uint64_t>(upper_minimums) << 32 | (second & 0x3f3f3f3fu)};
  }
  int scale(int part) const { return static_cast<int>(scales >> (8 * part) & 255); }
  int minimum(int part) const { return static_cast<int>(minimums >> (8 * part) & 255); }
};

inline __m256i Bytes64(std::uint64_t bytes) {
  return _mm256_set1_epi64x(static_cast<long long>(bytes));
}

// The products of one row with x by parts of 32, and the minimums with the sums of 16.
template <typename Format>
SuperSums SumAffine(const std::byte* from, const std::int8_t* x, const std::int16_t* x_sums) {
  const AffineHead head = AffineHead::Load(from + 4);
  const __m256i scales = _mm256_unpacklo_epi8(Bytes64(head.scales), _mm256_setzero_si256());
  __m256i products = _mm256_setzero_si256();
#pragma GCC unroll 8
  for (int i = 0; i < kRegisters; ++i) {
    const __m256i own = _mm256_set1_epi16(static_cast<short>(0x0100 + 0x0202 * i));
    const __m256i pairs = _mm256_maddubs_epi16(Format::Levels(from, i), Load32Bytes(x + 32 * i));
    products =
        _mm256_add_epi32(products, _mm256_madd_epi16(pairs, _mm256_shuffle_epi8(scales, own)));
  }
  const __m128i minimums = _mm256_castsi256_si128(Bytes64(head.minimums));
  const __m256i twice = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(minimums, minimums));
  return {products, _mm256_madd_epi16(twice, Load32Bytes(x_sums))};
}

struct Q4_K {
  static constexpr std::int64_t kBytes = 144;
  static constexpr std::int64_t kHalvesAt = 0;
  static constexpr int kTop = 15;
  static constexpr int kPart = 32;
  static constexpr bool kAffine = true;
  static __m256i Levels(const std::byte* from, int i) { return SuperNibbles(from + 16, i); }
  static SuperSums Sum(const std::byte* from, const std::int8_t* x, const std::int16_t* x_sums) {
    return SumAffine<Q4_K>(from, x, x_sums);
  }
};

struct Q5_K {
  static constexpr std::int64_t kBytes = 176;
  static constexpr std::int64_t kHalvesAt = 0;
  static constexpr int kTop = 31;
  static constexpr int kPart = 32;
  static constexpr bool kAffine = true;
  static __m256i Levels(const std::byte* from, int i) {
    const __m256i all = Load32Bytes(from + 16);
    const __m256i own = i < 4 ? _mm256_slli_epi16(all, 4 - i) : _mm256_srli_epi16(all, i - 4);
    return _mm256_or_si256(SuperNibbles(from + 48, i), _mm256_and_si256(own, _mm256_set1_epi8(16)));
  }
  static SuperSums Sum(const std::byte* from, const std::int8_t* x, const std::int16_t* x_sums) {
    return SumAffine<Q5_K>(from, x, x_sums);
  }
};

// Levels are 0 … 63 here, 32 more than what they stand for: `minimums` sums the scales times the
// activations, of which 32 times is too much.
struct Q6_K {
  static constexpr std::int64_t kBytes = 210;
  static constexpr std::int64_t kHalvesAt = 206;  // the second half of these four bytes
  static constexpr int kTop = 63;
  static constexpr int kPart = 16;
  static constexpr bool kAffine = false;
  static __m256i Levels(const std::byte* from, int i) {
    const __m256i low = Load32Bytes(from + i / 4 * 64 + i % 2 * 32);
    const __m256i high = Load32Bytes(from + 128 + i / 4 * 32);
    const __m256i four = i % 4 < 2 ? low : _mm256_srli_epi16(low, 4);
    const __m256i two = i % 4 < 2 ? _mm256_slli_epi16(high, 4 - 2 * (i % 4))
                                  : _mm256_srli_epi16(high, 2 * (i % 4) - 4);
    return _mm256_or_si256(_mm256_and_si256(four, _mm256_set1_epi8(0x0f)),
                           _mm256_and_si256(two, _mm256_set1_epi8(0x30)));
  }
  static int scale(const std::byte* from, int part) {
    return static_cast<std::int8_t>(from[192 + part]);
  }
  static SuperSums Sum(const std::byte* from, const std::int8_t* x, const std::int16_t* x_sums) {
    const __m256i scales = _mm256_cvtepi8_epi16(Load16Bytes(from + 192));
    const __m256i first = _mm256_permute2x128_si256(scales, scales, 0x00);
    const __m256i second = _mm256_permute2x128_si256(scales, scales, 0x11);
    __m256i products = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int i = 0; i < kRegisters; ++i) {
      const auto even = static_cast<short>(0x0100 + 0x0404 * (i % 4));
      const auto odd = static_cast<short>(even + 0x0202);
      const __m256i own = _mm256_set_m128i(_mm_set1_epi16(odd), _mm_set1_epi16(even));
      const __m256i pairs = _mm256_maddubs_epi16(Levels(from, i), Load32Bytes(x + 32 * i));
      products = _mm256_add_epi32(
          products, _mm256_madd_epi16(pairs, _mm256_shuffle_epi8(i < 4 ? first : second, own)));
    }
    return {products, _mm256_madd_epi16(scales, Load32Bytes(x_sums))};
  }
};

}  // namespace
}  // namespace cloister::kernels::cpu::avx2
