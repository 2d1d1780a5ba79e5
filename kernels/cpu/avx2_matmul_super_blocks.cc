#include <immintrin.h>

#include "kernels/cpu/avx2_common.h"
#include "kernels/cpu/avx2_rows.h"
#include "kernels/cpu/avx2_super_block_formats.h"
#include "kernels/cpu/tables.h"

// As avx2_matmul_blocks.cc, for blocks of 256: sums stay whole numbers over a block.
namespace cloister::kernels::cpu::avx2 {
namespace {

constexpr std::int64_t kPanelBlocks = 4;  // of 2.6 to 2.9 KB: the first-level cache holds a panel
constexpr std::int64_t kPanelFrom = 4;    // tokens that are worth a panel
constexpr int kFours = 64;                // groups of four columns in a block
constexpr int kSums = 16;                 // of 16 activations in a block

template <typename Format>
Halves LoadScales(const Rows& rows, std::int64_t at) {
  const Halves halves = LoadHalves(rows.row, at + Format::kHalvesAt);
  return Format::kAffine ? halves : Halves{halves.second, _mm256_setzero_ps()};
}

template <typename Format>
__m256 AddBlock(__m256 results, const Halves& w, __m256i products, __m256i minimums,
                float x_scale) {
  const __m256 x = _mm256_set1_ps(x_scale);
  if constexpr (Format::kAffine) {
    results = _mm256_fmadd_ps(_mm256_mul_ps(w.first, x), _mm256_cvtepi32_ps(products), results);
    return _mm256_fnmadd_ps(_mm256_mul_ps(w.second, x), _mm256_cvtepi32_ps(minimums), results);
  } else {
    const __m256i sums = _mm256_sub_epi32(products, _mm256_slli_epi32(minimums, 5));
    return _mm256_fmadd_ps(_mm256_mul_ps(w.first, x), _mm256_cvtepi32_ps(sums), results);
  }
}

template <typename Format>
void OneToken(const MatmulArguments& a, std::int64_t first, std::int64_t token) {
  const Rows rows = RowsFrom(a, first);
  const std::int64_t ahead = BytesAhead(a);
  const std::int64_t blocks = a.columns / kSuperBlock;
  const SuperBlockActivations& x = a.super_blocks;
  __m256 results = _mm256_setzero_ps();
  for (std::int64_t b = 0; b < blocks; ++b) {
    const std::int64_t at = b * Format::kBytes;
    const std::int64_t own = token * blocks + b;
    __m256i products[kLanes];
    __m256i minimums[kLanes];
    for (int r = 0; r < kLanes; ++r) {
      for (std::int64_t line = 0; line < Format::kBytes; line += 64) {
        PrefetchRow(rows.row[r] + at + line, ahead);
      }
      const SuperSums sums =
          Format::Sum(rows.row[r] + at, x.values + own * kSuperBlock, x.sums + own * kSums);
      products[r] = sums.products;
      minimums[r] = sums.minimums;
    }
    results = AddBlock<Format>(results, LoadScales<Format>(rows, at), SumRows(products),
                               SumRows(minimums), x.scales[own]);
  }
  StoreResults(a.output + token * a.output_stride + first, results, rows.count);
}

// Lane r belongs to row r. Scales and minimums are a pair of 16 bits.
template <typename Format>
struct PanelBlock {
  __m256i levels[kFours];
  __m256i scales[kSuperBlock / Format::kPart];  // a pair of equals
  __m256i minimums[kSums / 2];                  // what the sums of 32 activations are times
  Halves halves;
};

constexpr std::int32_t Pair(int first, int second) {
  return static_cast<std::int32_t>((static_cast<std::uint32_t>(first) & 0xffffu) |
                                   static_cast<std::uint32_t>(second) << 16);
}

template <typename Format>
void UnpackScales(const Rows& rows, std::int64_t at, PanelBlock<Format>& to) {
  std::int32_t scales[kSuperBlock / Format::kPart][kLanes];
  std::int32_t minimums[kSums / 2][kLanes];
  for (int r = 0; r < kLanes; ++r) {
    const std::byte* from = rows.row[r] + at;
    if constexpr (Format::kAffine) {
      const AffineHead head = AffineHead::Load(from + 4);
      for (int part = 0; part < kSums / 2; ++part) {
        scales[part][r] = Pair(head.scale(part), head.scale(part));
        minimums[part][r] = Pair(head.minimum(part), head.minimum(part));
      }
    } else {
      for (int part = 0; part < kSums; ++part) {
        scales[part][r] = Pair(Format::scale(from, part), Format::scale(from, part));
      }
      for (int i = 0; i < kSums / 2; ++i) {
        minimums[i][r] = Pair(Format::scale(from, 2 * i), Format::scale(from, 2 * i + 1));
      }
    }
  }
  __builtin_memcpy(to.scales, scales, sizeof(scales));
  __builtin_memcpy(to.minimums, minimums, sizeof(minimums));
}

template <typename Format>
void Unpack(const Rows& rows, std::int64_t first_block, std::int64_t blocks,
            PanelBlock<Format>* panel) {
  for (std::int64_t b = 0; b < blocks; ++b) {
    const std::int64_t at = (first_block + b) * Format::kBytes;
#pragma GCC unroll 8
    for (int i = 0; i < kRegisters; ++i) {
      __m256i levels[kLanes];
      for (int r = 0; r < kLanes; ++r) levels[r] = Format::Levels(rows.row[r] + at, i);
      __m256i fours[kLanes];
      Transpose(levels, fours);
      for (int k = 0; k < kLanes; ++k) panel[b].levels[8 * i + k] = fours[k];
    }
    UnpackScales(rows, at, panel[b]);
    panel[b].halves = LoadScales<Format>(rows, at);
  }
}

template <int T>
struct Sums {
  __m256i products[T];
  __m256i minimums[T];
};

// The block's sums for eight rows and T tokens whose values lie `stride` apart.
template <typename Format, int T>
Sums<T> SumBlock(const PanelBlock<Format>& w, const std::int8_t* x, const std::int16_t* x_sums,
                 std::int64_t stride) {
  constexpr int kGroup = SumsBeforeOverflow(Format::kTop) * 4 < Format::kPart
                             ? SumsBeforeOverflow(Format::kTop)
                             : Format::kPart / 4;
  Sums<T> sums;
  for (int t = 0; t < T; ++t) sums.products[t] = sums.minimums[t] = _mm256_setzero_si256();
  for (int group = 0; group < kFours; group += kGroup) {
    __m256i pairs[T];
    for (int t = 0; t < T; ++t) pairs[t] = _mm256_setzero_si256();
    for (int k = group; k < group + kGroup; ++k) {
      const __m256i levels = w.levels[k];
      for (int t = 0; t < T; ++t) {
        const __m256i four = _mm256_set1_epi32(Load4Bytes(x + t * stride + 4 * k));
        pairs[t] = AddNow(pairs[t], _mm256_maddubs_epi16(levels, four));
      }
    }
    const __m256i scales = w.scales[group * 4 / Format::kPart];
    for (int t = 0; t < T; ++t) {
      sums.products[t] = _mm256_add_epi32(sums.products[t], _mm256_madd_epi16(pairs[t], scales));
    }
  }
  for (int i = 0; i < kSums / 2; ++i) {
    for (int t = 0; t < T; ++t) {
      const std::int16_t* two = x_sums + t * stride / kSuperBlockSums + 2 * i;
      sums.minimums[t] = _mm256_add_epi32(
          sums.minimums[t], _mm256_madd_epi16(w.minimums[i], _mm256_set1_epi32(Load4Bytes(two))));
    }
  }
  return sums;
}

template <typename Format>
struct Panel {
  const PanelBlock<Format>* blocks;
  std::int64_t first_block;
  std::int64_t count;
  std::int64_t first_row;
  std::int64_t rows;
};

template <typename Format, int T>
void Tile(const MatmulArguments& a, const Panel<Format>& panel, std::int64_t token) {
  const std::int64_t per_token = a.columns / kSuperBlock;
  const SuperBlockActivations& x = a.super_blocks;
  float* output = a.output + token * a.output_stride + panel.first_row;
  __m256 results[T];
  for (int t = 0; t < T; ++t) {
    results[t] = panel.first_block == 0 ? _mm256_setzero_ps()
                                        : LoadResults(output + t * a.output_stride, panel.rows);
  }
  for (std::int64_t i = 0; i < panel.count; ++i) {
    const std::int64_t at = token * per_token + panel.first_block + i;
    const Sums<T> sums = SumBlock<Format, T>(panel.blocks[i], x.values + at * kSuperBlock,
                                             x.sums + at * kSums, a.columns);
    for (int t = 0; t < T; ++t) {
      results[t] = AddBlock<Format>(results[t], panel.blocks[i].halves, sums.products[t],
                                    sums.minimums[t], x.scales[at + t * per_token]);
    }
  }
  for (int t = 0; t < T; ++t) {
    StoreResults(output + t * a.output_stride, results[t], panel.rows);
  }
}

template <typename Format>
void ManyTokens(const MatmulArguments& a, std::int64_t first) {
  const Rows rows = RowsFrom(a, first);
  const std::int64_t blocks = a.columns / kSuperBlock;
  PanelBlock<Format> unpacked[kPanelBlocks];
  for (std::int64_t b = 0; b < blocks; b += kPanelBlocks) {
    const std::int64_t count = blocks - b < kPanelBlocks ? blocks - b : kPanelBlocks;
    Unpack<Format>(rows, b, count, unpacked);
    const Panel<Format> panel = {unpacked, b, count, first, rows.count};
    std::int64_t token = 0;
    for (; token + 4 <= a.tokens; token += 4) Tile<Format, 4>(a, panel, token);
    for (; token + 2 <= a.tokens; token += 2) Tile<Format, 2>(a, panel, token);
    for (; token < a.tokens; ++token) Tile<Format, 1>(a, panel, token);
  }
}

template <typename Format>
void MatmulSuperBlocks(const MatmulArguments& a) {
  if (a.columns == 0) return ClearResults(a);
  for (std::int64_t row = 0; row < a.rows; row += kLanes) {
    if (a.tokens >= kPanelFrom) {
      ManyTokens<Format>(a, row);
      continue;
    }
    for (std::int64_t t = 0; t < a.tokens; ++t) OneToken<Format>(a, row, t);
  }
}

}  // namespace

void MatmulQ4_K(const MatmulArguments& a) { MatmulSuperBlocks<Q4_K>(a); }
void MatmulQ5_K(const MatmulArguments& a) { MatmulSuperBlocks<Q5_K>(a); }
void MatmulQ6_K(const MatmulArguments& a) { MatmulSuperBlocks<Q6_K>(a); }

}  // namespace cloister::kernels::cpu::avx2
