#pragma once

// Included by the files of the instruction sets alone, each of which is compiled for its own.

#include <cstdint>
#include <utility>

#include "dp/clipping/tile_kernels.h"

namespace cloister::dp::clipping {
namespace {

// kLanes numbers, and the same wherever in memory.
template <int kLanes>
struct Lanes {
  using Vector [[gnu::vector_size(kLanes * sizeof(float))]] = float;
  using Anywhere
      [[gnu::vector_size(kLanes * sizeof(float)), gnu::aligned(sizeof(float)), gnu::may_alias]] =
          float;
};

// One step of a tile's depth: sum[i][j] += left[i * left_stride] * panel[j].
template <int kLanes, int kRows, int kVectors>
[[gnu::always_inline]] inline void AddStep(const float* left, std::int64_t left_stride,
                                           const float* panel,
                                           typename Lanes<kLanes>::Vector (&sum)[kRows][kVectors]) {
  using Anywhere = typename Lanes<kLanes>::Anywhere;
  typename Lanes<kLanes>::Vector row[kVectors];
#pragma GCC unroll 4
  for (int j = 0; j < kVectors; ++j)
    row[j] = *reinterpret_cast<const Anywhere*>(panel + j * kLanes);
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) sum[i][j] += left[i * left_stride] * row[j];
  }
}

// tile[i * stride + j] = sum[i][j].
template <int kLanes, int kRows, int kVectors>
[[gnu::always_inline]] inline void StoreTile(
    const typename Lanes<kLanes>::Vector (&sum)[kRows][kVectors], float* tile,
    std::int64_t stride) {
  using Anywhere = typename Lanes<kLanes>::Anywhere;
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) {
      *reinterpret_cast<Anywhere*>(tile + i * stride + j * kLanes) = sum[i][j];
    }
  }
}

// A tile of kRows x kVectors vectors, held in registers.
template <int kLanes, int kRows, int kVectors>
void MultiplyTile(const float* left, const float* right, std::int64_t depth, float* tile,
                  std::int64_t stride) {
  constexpr int kColumns = kLanes * kVectors;
  typename Lanes<kLanes>::Vector sum[kRows][kVectors] = {};
  for (std::int64_t t = 0; t < depth; ++t, left += kColumns, right += kColumns) {
    AddStep<kLanes>(left, 1, right, sum);
  }
  StoreTile<kLanes>(sum, tile, stride);
}

template <int kLanes, int kVectors>
void PackPanel(const float* x, std::int64_t stride, std::int64_t depth, float* panel) {
  using Anywhere = typename Lanes<kLanes>::Anywhere;
  for (std::int64_t t = 0; t < depth; ++t, x += stride, panel += kLanes * kVectors) {
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) {
      *reinterpret_cast<Anywhere*>(panel + j * kLanes) =
          *reinterpret_cast<const Anywhere*>(x + j * kLanes);
    }
  }
}

// Swaps the off-diagonal blocks of kSize x kSize in every block of twice the size, down to single
// numbers: kLanes vectors as a matrix are transposed.
template <int kLanes, int kSize, int... kLane>
[[gnu::always_inline]] inline void SwapBlocks(typename Lanes<kLanes>::Vector (&rows)[kLanes],
                                              std::integer_sequence<int, kLane...> lanes) {
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if ((i & kSize) != 0) continue;
    const auto a = rows[i], b = rows[i + kSize];
    rows[i] =
        __builtin_shufflevector(a, b, ((kLane & kSize) == 0 ? kLane : kLanes + kLane - kSize)...);
    rows[i + kSize] =
        __builtin_shufflevector(a, b, ((kLane & kSize) == 0 ? kLane + kSize : kLanes + kLane)...);
  }
  if constexpr (kSize > 1) SwapBlocks<kLanes, kSize / 2>(rows, lanes);
}

template <int kLanes, int kColumns>
void TransposePanel(const float* x, std::int64_t stride, std::int64_t rows, std::int64_t depth,
                    float* panel) {
  using Vector = typename Lanes<kLanes>::Vector;
  using Anywhere = typename Lanes<kLanes>::Anywhere;
  const std::int64_t whole = depth / kLanes * kLanes;
  for (int first = 0; first < kColumns; first += kLanes) {
    for (std::int64_t k = 0; k < whole; k += kLanes) {
      Vector block[kLanes];
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) {
        block[i] = first + i < rows
                       ? Vector(*reinterpret_cast<const Anywhere*>(x + (first + i) * stride + k))
                       : Vector{};
      }
      SwapBlocks<kLanes, kLanes / 2>(block, std::make_integer_sequence<int, kLanes>());
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) {
        *reinterpret_cast<Anywhere*>(panel + (k + i) * kColumns + first) = block[i];
      }
    }
  }
  for (std::int64_t k = whole; k < depth; ++k) {
    for (int r = 0; r < kColumns; ++r) panel[k * kColumns + r] = r < rows ? x[r * stride + k] : 0;
  }
}

template <int kLanes, int kRows, int kVectors>
constexpr TileKernel kTileKernel = {.rows = kRows,
                                    .columns = std::int64_t{kLanes} * kVectors,
                                    .multiply = &MultiplyTile<kLanes, kRows, kVectors>,
                                    .pack = &PackPanel<kLanes, kVectors>,
                                    .transpose = &TransposePanel<kLanes, kLanes * kVectors>};

}  // namespace
}  // namespace cloister::dp::clipping
