#include <immintrin.h>

#include "kernels/cpu/avx2_common.h"
#include "kernels/cpu/tables.h"

// A few rows are dequantized a piece at a time to fp32, and each piece is used for every token. A
// product has the bits that it would have with the dequantized matrix.
namespace cloister::kernels::cpu::avx2 {
namespace {

constexpr std::int64_t kRows = 6;
constexpr std::int64_t kPiece = 512;   // columns
constexpr std::int64_t kTokens = 64;   // whose sums are kept over the pieces of a row
constexpr std::int64_t kTogether = 4;  // tokens a tile

// Sixteen e4m3fn numbers as halves, 256 times too small: the bits are the same but for the sign's
// place.
__m256i LoadHalves16(const std::byte* from) {
  const __m256i words = _mm256_cvtepi8_epi16(Load16Bytes(from));
  const __m256i seven = _mm256_set1_epi16(0x7f);
  const __m256i nan = _mm256_cmpeq_epi16(_mm256_and_si256(words, seven), seven);
  const __m256i placed = _mm256_slli_epi16(words, 7);
  return _mm256_or_si256(_mm256_and_si256(placed, _mm256_set1_epi16(static_cast<short>(0xbfff))),
                         nan);
}

// `count` numbers times `scale`, rounded once: a factor of 256 is exact.
void Dequantize(const std::byte* from, std::int64_t count, float scale, float* to) {
  const __m256 factor = _mm256_set1_ps(256.0f * scale);
  const auto scaled = [&](__m128i halves) {
    return _mm256_mul_ps(_mm256_cvtph_ps(halves), factor);
  };
  std::int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const __m256i halves = LoadHalves16(from + i);
    _mm256_storeu_ps(to + i, scaled(_mm256_castsi256_si128(halves)));
    _mm256_storeu_ps(to + i + 8, scaled(_mm256_extracti128_si256(halves, 1)));
  }
  for (; i < count; ++i) {
    const std::byte sixteen[16] = {from[i]};
    to[i] = _mm256_cvtss_f32(scaled(_mm256_castsi256_si128(LoadHalves16(sixteen))));
  }
}

// Columns begin … begin + count - 1 of a row.
void DequantizePiece(const MatmulArguments& a, std::int64_t row, std::int64_t begin,
                     std::int64_t count, float* to) {
  const std::byte* from = a.weights + row * a.row_bytes;
  if (a.scales.data.empty()) return Dequantize(from + begin, count, 1.0f, to);
  const std::int64_t width = a.scales.columns;
  const std::int64_t scale_row = (a.first_row + row) / a.scales.rows;
  for (std::int64_t c = begin; c < begin + count;) {
    const std::int64_t block = c / width;
    const std::int64_t end =
        (block + 1) * width < begin + count ? (block + 1) * width : begin + count;
    const float scale = a.scales.at(scale_row, block, (a.columns + width - 1) / width);
    Dequantize(from + c, end - c, scale, to + (c - begin));
    c = end;
  }
}

// Sums of the tokens of a group, in eight lanes, and of the columns behind the last whole eight.
struct Sums {
  __m256 lanes[kRows][kTokens];
  float rest[kRows][kTokens];
};

struct Piece {
  const float* weights;  // [kRows, kPiece]
  const float* input;    // of the group's first token, at the piece's first column
  std::int64_t count;
};

template <int R, int T>
void Tile(const MatmulArguments& a, const Piece& piece, std::int64_t row, std::int64_t token,
          Sums& all) {
  const float* weights = piece.weights + row * kPiece;
  const float* input = piece.input + token * a.input_stride;
  __m256 sums[R][T];
  for (int r = 0; r < R; ++r) {
    for (int t = 0; t < T; ++t) sums[r][t] = all.lanes[row + r][token + t];
  }
  std::int64_t c = 0;
  for (; c + 8 <= piece.count; c += 8) {
    __m256 w[R];
    for (int r = 0; r < R; ++r) w[r] = _mm256_loadu_ps(weights + r * kPiece + c);
    for (int t = 0; t < T; ++t) {
      const __m256 x = _mm256_loadu_ps(input + t * a.input_stride + c);
      for (int r = 0; r < R; ++r) sums[r][t] = _mm256_fmadd_ps(w[r], x, sums[r][t]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int t = 0; t < T; ++t) {
      all.lanes[row + r][token + t] = sums[r][t];
      float& rest = all.rest[row + r][token + t];
      for (std::int64_t i = c; i < piece.count; ++i) {
        rest = __builtin_fmaf(weights[r * kPiece + i], input[t * a.input_stride + i], rest);
      }
    }
  }
}

template <int T>
void AllRows(const MatmulArguments& a, const Piece& piece, std::int64_t rows, std::int64_t token,
             Sums& all) {
  std::int64_t row = 0;
  if constexpr (T == 1) {
    if (rows == kRows) return Tile<kRows, 1>(a, piece, 0, token, all);
  }
  for (; row + 3 <= rows; row += 3) Tile<3, T>(a, piece, row, token, all);
  for (; row < rows; ++row) Tile<1, T>(a, piece, row, token, all);
}

void Group(const MatmulArguments& a, std::int64_t row, std::int64_t rows, std::int64_t token,
           std::int64_t tokens) {
  float weights[kRows * kPiece];
  Sums all;
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t t = 0; t < tokens; ++t) {
      all.lanes[r][t] = _mm256_setzero_ps();
      all.rest[r][t] = 0;
    }
  }
  for (std::int64_t begin = 0; begin < a.columns; begin += kPiece) {
    const std::int64_t count = a.columns - begin < kPiece ? a.columns - begin : kPiece;
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t line = 0; line < count; line += 64) {
        PrefetchRow(a.weights + (row + r) * a.row_bytes + begin + line, kRows * a.row_bytes);
      }
      DequantizePiece(a, row + r, begin, count, weights + r * kPiece);
    }
    const Piece piece = {weights, a.input + token * a.input_stride + begin, count};
    std::int64_t t = 0;
    for (; t + kTogether <= tokens; t += kTogether) AllRows<kTogether>(a, piece, rows, t, all);
    for (; t < tokens; ++t) AllRows<1>(a, piece, rows, t, all);
  }
  for (std::int64_t t = 0; t < tokens; ++t) {
    for (std::int64_t r = 0; r < rows; ++r) {
      a.output[(token + t) * a.output_stride + row + r] = Sum8(all.lanes[r][t]) + all.rest[r][t];
    }
  }
}

// The same sums for one token without a detour through memory.
void OneToken(const MatmulArguments& a, std::int64_t row, std::int64_t rows) {
  const bool scaled = !a.scales.data.empty();
  const std::int64_t width = scaled ? a.scales.columns : a.columns;
  const std::int64_t whole = a.columns / 16 * 16;
  const std::byte* from[kRows];
  __m256 sums[kRows];
  for (std::int64_t r = 0; r < kRows; ++r) {
    from[r] = a.weights + (row + (r < rows ? r : rows - 1)) * a.row_bytes;
    sums[r] = _mm256_setzero_ps();
  }
  for (std::int64_t begin = 0; begin < whole; begin += width) {
    const std::int64_t end = begin + width < whole ? begin + width : whole;
    __m256 factors[kRows];
    for (std::int64_t r = 0; r < kRows; ++r) {
      const std::int64_t scale_row = (a.first_row + row + (r < rows ? r : rows - 1));
      const float scale = scaled ? a.scales.at(scale_row / a.scales.rows, begin / width,
                                               (a.columns + width - 1) / width)
                                 : 1.0f;
      factors[r] = _mm256_set1_ps(256.0f * scale);
    }
    for (std::int64_t c = begin; c < end; c += 16) {
      const __m256 first = _mm256_loadu_ps(a.input + c);
      const __m256 second = _mm256_loadu_ps(a.input + c + 8);
      for (std::int64_t r = 0; r < kRows; ++r) {
        if (c % 64 == 0) PrefetchRow(from[r] + c, kRows * a.row_bytes);
        const __m256i halves = LoadHalves16(from[r] + c);
        const __m256 low = _mm256_cvtph_ps(_mm256_castsi256_si128(halves));
        const __m256 high = _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1));
        sums[r] = _mm256_fmadd_ps(_mm256_mul_ps(low, factors[r]), first, sums[r]);
        sums[r] = _mm256_fmadd_ps(_mm256_mul_ps(high, factors[r]), second, sums[r]);
      }
    }
  }
  for (std::int64_t r = 0; r < rows; ++r) {
    float rest[16];
    DequantizePiece(a, row + r, whole, a.columns - whole, rest);
    std::int64_t c = whole;
    if (c + 8 <= a.columns) {
      sums[r] = _mm256_fmadd_ps(_mm256_loadu_ps(rest), _mm256_loadu_ps(a.input + c), sums[r]);
      c += 8;
    }
    float sum = 0;
    for (; c < a.columns; ++c) sum = __builtin_fmaf(rest[c - whole], a.input[c], sum);
    a.output[row + r] = Sum8(sums[r]) + sum;
  }
}

}  // namespace

void MatmulF8(const MatmulArguments& a) {
  // Groups of eight columns must not straddle two scales.
  const bool aligned = a.scales.data.empty() || a.scales.columns % 16 == 0;
  for (std::int64_t row = 0; row < a.rows; row += kRows) {
    const std::int64_t rows = a.rows - row < kRows ? a.rows - row : kRows;
    if (a.tokens == 1 && aligned && a.columns > 0) {
      OneToken(a, row, rows);
      continue;
    }
    for (std::int64_t token = 0; token < a.tokens; token += kTokens) {
      const std::int64_t tokens = a.tokens - token < kTokens ? a.tokens - token : kTokens;
      Group(a, row, rows, token, tokens);
    }
  }
}

}  // namespace cloister::kernels::cpu::avx2
