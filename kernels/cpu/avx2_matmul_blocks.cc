#include <immintrin.h>

#include "kernels/cpu/avx2_block_formats.h"
#include "kernels/cpu/avx2_common.h"
#include "kernels/cpu/avx2_rows.h"
#include "kernels/cpu/tables.h"

// Eight rows at a time, a lane each. One token reads the weights as they lie and sums each row's
// products across its register. For more, a panel of the eight rows is unpacked once, four bytes of
// each row beside each other, so that a row's products meet in its lane without any shuffle.
namespace cloister::kernels::cpu::avx2 {
namespace {

constexpr std::int64_t kPanelBlocks = 32;  // of 320 bytes: the first-level cache holds a panel

template <typename Format>
Halves LoadScales(const Rows& rows, std::int64_t at) {
  Halves scales = LoadHalves(rows.row, at);
  if constexpr (Format::kMinimum != kStored) {
    scales.second = _mm256_mul_ps(scales.first, _mm256_set1_ps(Format::kMinimum));
  }
  return scales;
}

template <typename Format>
__m256 AddBlock(__m256 results, const Halves& w, __m256i sums, float x_scale, float x_sum) {
  const __m256 scale = _mm256_mul_ps(w.first, _mm256_set1_ps(x_scale));
  results = _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(sums), results);
  if constexpr (Format::kMinimum != 0) {
    results = _mm256_fmadd_ps(w.second, _mm256_set1_ps(x_sum), results);
  }
  return results;
}

template <typename Format>
__m256i SumOneToken(const Rows& rows, std::int64_t at, __m256i x) {
  __m256i pairs[kLanes];
  for (int r = 0; r < kLanes; ++r) {
    pairs[r] = SumPairs<Format>(Format::Levels(rows.row[r] + at), x);
  }
  if constexpr (SumsBeforeOverflow(Format::kTop) >= 4) return SumRows16(pairs);
  const __m256i ones = _mm256_set1_epi16(1);
  for (__m256i& row : pairs) row = _mm256_madd_epi16(row, ones);
  return SumRows(pairs);
}

template <typename Format>
void OneToken(const MatmulArguments& a, std::int64_t first) {
  const Rows rows = RowsFrom(a, first);
  const std::int64_t ahead = BytesAhead(a);
  __m256 results = _mm256_setzero_ps();
  for (std::int64_t b = 0; b < a.columns / kActivationBlock; ++b) {
    const std::int64_t at = b * Format::kBytes;
    if (b % (64 / Format::kBytes) == 0) {  // often enough to ask for every line of the cache
      for (int r = 0; r < kLanes; ++r) PrefetchRow(rows.row[r] + at, ahead);
    }
    const __m256i x = Load32Bytes(a.quantized.values + b * kActivationBlock);
    results =
        AddBlock<Format>(results, LoadScales<Format>(rows, at), SumOneToken<Format>(rows, at, x),
                         a.quantized.scales[b], a.quantized.sums[b]);
  }
  StoreResults(a.output + first, results, rows.count);
}

struct PanelBlock {
  __m256i levels[kLanes];  // four columns each
  Halves scales;
};

template <typename Format>
void Unpack(const Rows& rows, std::int64_t first_block, std::int64_t blocks, PanelBlock* panel) {
  for (std::int64_t b = 0; b < blocks; ++b) {
    const std::int64_t at = (first_block + b) * Format::kBytes;
    __m256i levels[kLanes];
    for (int r = 0; r < kLanes; ++r) levels[r] = Format::Levels(rows.row[r] + at);
    Transpose(levels, panel[b].levels);
    panel[b].scales = LoadScales<Format>(rows, at);
  }
}

// The block's sums of products of eight rows and T tokens whose values lie `stride` apart.
template <typename Format, int T>
void SumBlock(const PanelBlock& w, const std::int8_t* x, std::int64_t stride, __m256i (&sums)[T]) {
  constexpr int kGroup = SumsBeforeOverflow(Format::kTop);
  const __m256i ones = _mm256_set1_epi16(1);
  for (int t = 0; t < T; ++t) sums[t] = _mm256_setzero_si256();
  for (int group = 0; group < kLanes; group += kGroup) {
    __m256i pairs[T];
    for (int t = 0; t < T; ++t) pairs[t] = _mm256_setzero_si256();
    for (int k = group; k < group + kGroup; ++k) {
      const __m256i levels = w.levels[k];
      for (int t = 0; t < T; ++t) {
        const __m256i four = _mm256_set1_epi32(Load4Bytes(x + t * stride + 4 * k));
        pairs[t] = AddNow(pairs[t], SumPairs<Format>(levels, four));
      }
    }
    for (int t = 0; t < T; ++t) {
      sums[t] = _mm256_add_epi32(sums[t], _mm256_madd_epi16(pairs[t], ones));
    }
  }
}

struct Panel {
  const PanelBlock* blocks;
  std::int64_t first_block;
  std::int64_t count;
  std::int64_t first_row;
  std::int64_t rows;
};

template <typename Format, int T>
void Tile(const MatmulArguments& a, const Panel& panel, std::int64_t token) {
  const std::int64_t per_token = a.columns / kActivationBlock;
  const std::int8_t* values = a.quantized.values + token * a.columns;
  float* output = a.output + token * a.output_stride + panel.first_row;
  __m256 results[T];
  for (int t = 0; t < T; ++t) {
    results[t] = panel.first_block == 0 ? _mm256_setzero_ps()
                                        : LoadResults(output + t * a.output_stride, panel.rows);
  }
  for (std::int64_t i = 0; i < panel.count; ++i) {
    const std::int64_t block = panel.first_block + i;
    __m256i sums[T];
    SumBlock<Format, T>(panel.blocks[i], values + block * kActivationBlock, a.columns, sums);
    for (int t = 0; t < T; ++t) {
      const std::int64_t at = (token + t) * per_token + block;
      results[t] = AddBlock<Format>(results[t], panel.blocks[i].scales, sums[t],
                                    a.quantized.scales[at], a.quantized.sums[at]);
    }
  }
  for (int t = 0; t < T; ++t) {
    StoreResults(output + t * a.output_stride, results[t], panel.rows);
  }
}

template <typename Format>
void ManyTokens(const MatmulArguments& a, std::int64_t first) {
  const Rows rows = RowsFrom(a, first);
  const std::int64_t blocks = a.columns / kActivationBlock;
  PanelBlock unpacked[kPanelBlocks];
  for (std::int64_t b = 0; b < blocks; b += kPanelBlocks) {
    const std::int64_t count = blocks - b < kPanelBlocks ? blocks - b : kPanelBlocks;
    Unpack<Format>(rows, b, count, unpacked);
    const Panel panel = {unpacked, b, count, first, rows.count};
    std::int64_t token = 0;
    for (; token + 4 <= a.tokens; token += 4) Tile<Format, 4>(a, panel, token);
    for (; token + 2 <= a.tokens; token += 2) Tile<Format, 2>(a, panel, token);
    for (; token < a.tokens; ++token) Tile<Format, 1>(a, panel, token);
  }
}

template <typename Format>
void MatmulBlocks(const MatmulArguments& a) {
  if (a.columns == 0) return ClearResults(a);
  for (std::int64_t row = 0; row < a.rows; row += kLanes) {
    if (a.tokens == 1) {
      OneToken<Format>(a, row);
    } else {
      ManyTokens<Format>(a, row);
    }
  }
}

}  // namespace

void MatmulQ8_0(const MatmulArguments& a) { MatmulBlocks<Q8_0>(a); }
void MatmulQ4_0(const MatmulArguments& a) { MatmulBlocks<Q4_0>(a); }
void MatmulQ4_1(const MatmulArguments& a) { MatmulBlocks<Q4_1>(a); }
void MatmulQ5_0(const MatmulArguments& a) { MatmulBlocks<Q5_0>(a); }
void MatmulQ5_1(const MatmulArguments& a) { MatmulBlocks<Q5_1>(a); }

}  // namespace cloister::kernels::cpu::avx2
