#pragma once

// Inside dp/clipping/ and its tests only: products of fp32 matrices by tiles that fit a processor's
// registers, for each instruction set (tile_kernel_lanes.h).

#include <cstdint>
#include <vector>

namespace cloister::dp::clipping {

// A tile has `rows` x `columns` numbers; `columns` is a multiple of `rows`. Both factors stand in
// panels of `columns` numbers for each step of the depth, so that a tile's left factor
// is a part of a panel.
struct TileKernel {
  std::int64_t rows, columns;
  // tile[i * stride + j] = sum over t < depth of left[t * columns + i] * right[t * columns + j],
  // each added up in fp32, in the order of t. No number is rounded to fewer bits first.
  void (*multiply)(const float* left, const float* right, std::int64_t depth, float* tile,
                   std::int64_t stride);
  // panel[t * columns + c] = x[t * stride + c] for t < depth and c < columns.
  void (*pack)(const float* x, std::int64_t stride, std::int64_t depth, float* panel);
  // panel[k * columns + r] = x[r * stride + k] for k < depth and r < rows, and zero for r from
  // rows <= columns on: the numbers [rows, depth] as a panel.
  void (*transpose)(const float* x, std::int64_t stride, std::int64_t rows, std::int64_t depth,
                    float* panel);
};

// In rising order. kAvx2 is AVX2 and FMA; kAvx512 AVX-512 F.
enum class TileTier { kScalar, kAvx2, kAvx512 };

// Those that this processor, and the operating system's saved state, can run; kScalar first.
std::vector<TileTier> SupportedTileTiers();
TileKernel TileKernelOf(TileTier tier);
// Of the best tier.
const TileKernel& BestTileKernel();

// tile_kernel_scalar.cc and its likes, compiled for their instructions.
TileKernel ScalarTileKernel();
TileKernel Avx2TileKernel();
TileKernel Avx512TileKernel();

}  // namespace cloister::dp::clipping
