#include <immintrin.h>

#include "kernels/cpu/avx2_common.h"
#include "kernels/cpu/tables.h"

namespace cloister::kernels::cpu::avx2 {
namespace {

float LoadHalf(const std::byte* from) {
  std::uint16_t half;
  __builtin_memcpy(&half, from, sizeof(half));
  return _cvtsh_ss(half);
}

// Sums of four neighbouring products in each of eight lanes. Exact: a pair of products stays within
// 16 bits, being at most 2 * 128 * 127 here and 2 * 15 * 127 with nibbles.
__m256i SumProducts(__m256i unsigned_bytes, __m256i signed_bytes) {
  const __m256i pairs = _mm256_maddubs_epi16(unsigned_bytes, signed_bytes);
  return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

// 32 signed weights. The sign of each weight moves to its activation, because the instruction
// multiplies unsigned by signed bytes; a weight of -128 has magnitude 128.
struct Q8_0 {
  static constexpr std::int64_t kBytes = 34;
  static constexpr bool kHasMinimum = false;
  struct Weights {
    __m256i value;
    __m256i magnitude;
    __m256 scale;
  };
  static Weights Load(const std::byte* from) {
    const __m256i value = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + 2));
    return {value, _mm256_sign_epi8(value, value), _mm256_set1_ps(LoadHalf(from))};
  }
  static __m256i Multiply(const Weights& w, __m256i x) {
    return SumProducts(w.magnitude, _mm256_sign_epi8(x, w.value));
  }
};

struct Nibbles {
  static constexpr bool kHasMinimum = true;
  struct Weights {
    __m256i level;
    __m256 scale;
    __m256 minimum;  // an eighth of it, since each of eight lanes adds it
  };
  static __m256i Unpack(const std::byte* from) {
    const __m128i both = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    const __m256i split = _mm256_set_m128i(_mm_srli_epi16(both, 4), both);
    return _mm256_and_si256(split, _mm256_set1_epi8(0x0f));
  }
  static __m256i Multiply(const Weights& w, __m256i x) { return SumProducts(w.level, x); }
};
struct Q4_0 : Nibbles {
  static constexpr std::int64_t kBytes = 18;
  static Weights Load(const std::byte* from) {
    const __m256 scale = _mm256_set1_ps(LoadHalf(from));
    return {Unpack(from + 2), scale, _mm256_sub_ps(_mm256_setzero_ps(), scale)};  // -8 / 8
  }
};
struct Q4_1 : Nibbles {
  static constexpr std::int64_t kBytes = 20;
  static Weights Load(const std::byte* from) {
    return {Unpack(from + 4), _mm256_set1_ps(LoadHalf(from)),
            _mm256_set1_ps(LoadHalf(from + 2) * 0.125f)};
  }
};

// R rows times T tokens in registers; each result's terms are added in the order of the blocks,
// whatever R and T are.
template <typename Format, int R, int T>
void Tile(const MatmulArguments& a, std::int64_t row, std::int64_t token) {
  const std::int64_t blocks = a.columns / kActivationBlock;
  const std::byte* weights = a.weights + row * a.row_bytes;
  const std::int8_t* values = a.quantized.values + token * a.columns;
  const float* scales = a.quantized.scales + token * blocks;
  const float* block_sums = a.quantized.sums + token * blocks;
  __m256 sums[R][T];
  for (int r = 0; r < R; ++r) {
    for (int t = 0; t < T; ++t) sums[r][t] = _mm256_setzero_ps();
  }
  for (std::int64_t b = 0; b < blocks; ++b) {
    typename Format::Weights w[R];
    for (int r = 0; r < R; ++r) {
      const std::byte* from = weights + r * a.row_bytes + b * Format::kBytes;
      if constexpr (T == 1) PrefetchRow(from, 2 * R * a.row_bytes);
      w[r] = Format::Load(from);
    }
    for (int t = 0; t < T; ++t) {
      const auto* block = values + t * a.columns + b * kActivationBlock;
      const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block));
      const __m256 scale = _mm256_broadcast_ss(scales + t * blocks + b);
      for (int r = 0; r < R; ++r) {
        const __m256 products = _mm256_cvtepi32_ps(Format::Multiply(w[r], x));
        sums[r][t] = _mm256_fmadd_ps(_mm256_mul_ps(w[r].scale, scale), products, sums[r][t]);
      }
      if constexpr (Format::kHasMinimum) {
        const __m256 block_sum = _mm256_broadcast_ss(block_sums + t * blocks + b);
        for (int r = 0; r < R; ++r) {
          sums[r][t] = _mm256_fmadd_ps(w[r].minimum, block_sum, sums[r][t]);
        }
      }
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int t = 0; t < T; ++t) {
      a.output[(token + t) * a.output_stride + row + r] = Sum8(sums[r][t]);
    }
  }
}

template <typename Format, int R, int T>
void Rows(const MatmulArguments& a, std::int64_t token, std::int64_t row, std::int64_t end) {
  for (; row + R <= end; row += R) Tile<Format, R, T>(a, row, token);
  for (; row < end; ++row) Tile<Format, 1, T>(a, row, token);
}

template <typename Format>
void MatmulBlocks(const MatmulArguments& a) {
  // A few rows stay in the first-level cache while all tokens pass by.
  constexpr std::int64_t kRowBlock = 16;
  for (std::int64_t row = 0; row < a.rows; row += kRowBlock) {
    const std::int64_t end = row + kRowBlock < a.rows ? row + kRowBlock : a.rows;
    std::int64_t token = 0;
    for (; token + 8 <= a.tokens; token += 8) Rows<Format, 1, 8>(a, token, row, end);
    for (; token + 4 <= a.tokens; token += 4) Rows<Format, 2, 4>(a, token, row, end);
    for (; token < a.tokens; ++token) Rows<Format, 4, 1>(a, token, row, end);
  }
}

}  // namespace

void MatmulQ8_0(const MatmulArguments& a) { MatmulBlocks<Q8_0>(a); }
void MatmulQ4_0(const MatmulArguments& a) { MatmulBlocks<Q4_0>(a); }
void MatmulQ4_1(const MatmulArguments& a) { MatmulBlocks<Q4_1>(a); }

}  // namespace cloister::kernels::cpu::avx2
