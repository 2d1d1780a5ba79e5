#include <immintrin.h>

#include "kernels/cpu/avx2_common.h"
#include "kernels/cpu/tables.h"

namespace cloister::kernels::cpu::avx2 {
namespace {

struct F32 {
  static constexpr std::int64_t kBytes = 4;
  static __m256 Load8(const std::byte* from) {
    return _mm256_loadu_ps(reinterpret_cast<const float*>(from));
  }
  static float Load(const std::byte* from) {
    float value;
    __builtin_memcpy(&value, from, sizeof(value));
    return value;
  }
};
struct F16 {
  static constexpr std::int64_t kBytes = 2;
  static __m256 Load8(const std::byte* from) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  static float Load(const std::byte* from) {
    std::uint16_t half;
    __builtin_memcpy(&half, from, sizeof(half));
    return _cvtsh_ss(half);
  }
};
struct BF16 {
  static constexpr std::int64_t kBytes = 2;
  static __m256 Load8(const std::byte* from) {
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
  }
  static float Load(const std::byte* from) {
    std::uint16_t upper;
    __builtin_memcpy(&upper, from, sizeof(upper));
    const std::uint32_t bits = static_cast<std::uint32_t>(upper) << 16;
    float value;
    __builtin_memcpy(&value, &bits, sizeof(value));
    return value;
  }
};

// R rows times T tokens in registers. Each product has eight partial sums over the columns, added
// in one fixed order whatever R and T are.
template <typename Format, int R, int T>
void Tile(const MatmulArguments& a, std::int64_t row, std::int64_t token) {
  const std::byte* weights = a.weights + row * a.row_bytes;
  const float* input = a.input + token * a.input_stride;
  __m256 sums[R][T];
  for (int r = 0; r < R; ++r) {
    for (int t = 0; t < T; ++t) sums[r][t] = _mm256_setzero_ps();
  }
  std::int64_t c = 0;
  for (; c + 8 <= a.columns; c += 8) {
    __m256 w[R];
    for (int r = 0; r < R; ++r) {
      const std::byte* from = weights + r * a.row_bytes + c * Format::kBytes;
      if constexpr (T == 1) PrefetchRow(from, 2 * R * a.row_bytes);
      w[r] = Format::Load8(from);
    }
    for (int t = 0; t < T; ++t) {
      const __m256 x = _mm256_loadu_ps(input + t * a.input_stride + c);
      for (int r = 0; r < R; ++r) sums[r][t] = _mm256_fmadd_ps(w[r], x, sums[r][t]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int t = 0; t < T; ++t) {
      float sum = Sum8(sums[r][t]);
      for (std::int64_t i = c; i < a.columns; ++i) {
        const float w = Format::Load(weights + r * a.row_bytes + i * Format::kBytes);
        sum = __builtin_fmaf(w, input[t * a.input_stride + i], sum);
      }
      a.output[(token + t) * a.output_stride + row + r] = sum;
    }
  }
}

template <typename Format, int R, int T>
void Rows(const MatmulArguments& a, std::int64_t token, std::int64_t row, std::int64_t end) {
  for (; row + R <= end; row += R) Tile<Format, R, T>(a, row, token);
  if constexpr (R > 1) Rows<Format, R - 1, T>(a, token, row, end);
}

template <typename Format>
void MatmulFloat(const MatmulArguments& a) {
  // A few rows stay in the first-level cache while all tokens pass by.
  constexpr std::int64_t kRowBlock = 12;
  for (std::int64_t row = 0; row < a.rows; row += kRowBlock) {
    const std::int64_t end = row + kRowBlock < a.rows ? row + kRowBlock : a.rows;
    std::int64_t token = 0;
    for (; token + 4 <= a.tokens; token += 4) Rows<Format, 3, 4>(a, token, row, end);
    for (; token < a.tokens; ++token) Rows<Format, 4, 1>(a, token, row, end);
  }
}

}  // namespace

void MatmulF32(const MatmulArguments& a) { MatmulFloat<F32>(a); }
void MatmulF16(const MatmulArguments& a) { MatmulFloat<F16>(a); }
void MatmulBF16(const MatmulArguments& a) { MatmulFloat<BF16>(a); }

}  // namespace cloister::kernels::cpu::avx2
