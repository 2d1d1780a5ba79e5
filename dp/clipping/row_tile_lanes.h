#pragma once

// Included by the files of the instruction sets alone, each of which is compiled for its own.

#include <cstdint>

#include "dp/clipping/tile_kernel_lanes.h"

namespace cloister::dp::clipping {
namespace {

// A tile of kRows x kVectors vectors, held in registers.
template <int kLanes, int kRows, int kVectors, bool kAdd>
void MultiplyRows(const float* left, std::int64_t left_stride, const float* panel,
                  std::int64_t depth, float* tile, std::int64_t stride, const FetchAhead& ahead) {
  using Anywhere = typename Lanes<kLanes>::Anywhere;
  constexpr int kColumns = kLanes * kVectors;
  constexpr std::int64_t kSteps = 16;  // between fetches
  typename Lanes<kLanes>::Vector sum[kRows][kVectors] = {};
  const char* row = ahead.row;
  for (; depth >= kSteps; depth -= kSteps, row += ahead.step) {
    __builtin_prefetch(row);
    __builtin_prefetch(row + ahead.spread);
    __builtin_prefetch(row + 2 * ahead.spread);
    __builtin_prefetch(row + 3 * ahead.spread);
#pragma GCC unroll 2
    for (int t = 0; t < kSteps; ++t, ++left, panel += kColumns) {
      AddStep<kLanes>(left, left_stride, panel, sum);
    }
  }
  for (; depth > 0; --depth, ++left, panel += kColumns) {
    AddStep<kLanes>(left, left_stride, panel, sum);
  }
  if constexpr (kAdd) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) {
        sum[i][j] += *reinterpret_cast<const Anywhere*>(tile + i * stride + j * kLanes);
      }
    }
  }
  StoreTile<kLanes>(sum, tile, stride);
}

// The one of `count` rows.
template <int kLanes, int kRows, int kVectors>
void MultiplySomeRows(const float* left, std::int64_t left_stride, std::int64_t count,
                      const float* panel, std::int64_t depth, bool add, float* tile,
                      std::int64_t stride, const FetchAhead& ahead) {
  if (count == kRows) {
    const auto multiply = add ? &MultiplyRows<kLanes, kRows, kVectors, true>
                              : &MultiplyRows<kLanes, kRows, kVectors, false>;
    multiply(left, left_stride, panel, depth, tile, stride, ahead);
  } else if constexpr (kRows > 1) {
    MultiplySomeRows<kLanes, kRows - 1, kVectors>(left, left_stride, count, panel, depth, add, tile,
                                                  stride, ahead);
  }
}

template <int kLanes, int kRows, int kVectors>
constexpr RowTileKernel kRowTileKernel = {.rows = kRows,
                                          .columns = std::int64_t{kLanes} * kVectors,
                                          .multiply = &MultiplySomeRows<kLanes, kRows, kVectors>,
                                          .pack = &PackPanel<kLanes, kVectors>,
                                          .transpose = &TransposePanel<kLanes, kLanes * kVectors>};

}  // namespace
}  // namespace cloister::dp::clipping
