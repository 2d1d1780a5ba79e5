#pragma once

// Inside dp/clipping/, trainer/networks/ and their tests only: products of fp32 matrices by tiles
// that fit a processor's registers, for each instruction set (tile_kernel_lanes.h,
// row_tile_lanes.h).

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

// Memory that a product will read soon: while a tile is multiplied, at each sixteenth step of its
// depth, the lines at row, row + spread, row + 2 spread and row + 3 spread are fetched, and row
// moves on by `step` bytes. Null where nothing is to be fetched.
struct FetchAhead {
  const char* row = nullptr;
  std::int64_t spread = 0, step = 0;
};

// A tile of at most `rows` x `columns` numbers whose left factor stands in memory row by row, and
// whose right factor in a panel as TileKernel's.
struct RowTileKernel {
  std::int64_t rows, columns;
  // tile[i * stride + j] = the sum over t < depth of left[i * left_stride + t] *
  // panel[t * columns + j], for i < count <= rows, each added up in fp32, from zero and in the
  // order of t; plus, with `add`, what was there. Fetches `ahead`.
  void (*multiply)(const float* left, std::int64_t left_stride, std::int64_t count,
                   const float* panel, std::int64_t depth, bool add, float* tile,
                   std::int64_t stride, const FetchAhead& ahead);
  // As TileKernel's.
  void (*pack)(const float* x, std::int64_t stride, std::int64_t depth, float* panel);
  void (*transpose)(const float* x, std::int64_t stride, std::int64_t rows, std::int64_t depth,
                    float* panel);
};

// Those of one instruction set.
struct TileKernels {
  TileKernel panels;
  RowTileKernel rows;
};

// In rising order. kAvx2 is AVX2 and FMA; kAvx512 AVX-512 F.
enum class TileTier { kScalar, kAvx2, kAvx512 };

// Those that this processor, and the operating system's saved state, can run; kScalar first.
std::vector<TileTier> SupportedTileTiers();
TileKernel TileKernelOf(TileTier tier);
RowTileKernel RowTileKernelOf(TileTier tier);
// Of the best tier.
const TileKernel& BestTileKernel();
const RowTileKernel& BestRowTileKernel();
// Whether that is one for the processor's vectors, and not the compiler's plain one.
bool HasFastTiles();

// tile_kernel_scalar.cc and its likes, compiled for their instructions.
TileKernels ScalarTileKernels();
TileKernels Avx2TileKernels();
TileKernels Avx512TileKernels();

// A panel of `columns` numbers a step, of which the first `count` are x's and the others zero: what
// is left over at a matrix's end.
void PackPart(const float* x, std::int64_t stride, std::int64_t count, std::int64_t columns,
              std::int64_t depth, float* panel);

// The panel of x's columns from its first on, as far as there are: `left` of them. Of a TileKernel
// or a RowTileKernel.
template <typename Kernel>
void PackColumns(const Kernel& kernel, const float* x, std::int64_t stride, std::int64_t left,
                 std::int64_t depth, float* panel) {
  if (left >= kernel.columns) {
    kernel.pack(x, stride, depth, panel);
  } else {
    PackPart(x, stride, left, kernel.columns, depth, panel);
  }
}

}  // namespace cloister::dp::clipping
