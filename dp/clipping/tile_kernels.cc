#include "dp/clipping/tile_kernels.h"

#include <algorithm>

#include "base/check.h"

namespace cloister::dp::clipping {
namespace {

TileKernels KernelsOf(TileTier tier) {
  switch (tier) {
    case TileTier::kScalar:
      return ScalarTileKernels();
    case TileTier::kAvx2:
      return Avx2TileKernels();
    case TileTier::kAvx512:
      return Avx512TileKernels();
  }
  base::CheckFailed(__FILE__, __LINE__, "a tier without a tile kernel");
}

}  // namespace

std::vector<TileTier> SupportedTileTiers() {
  // The compiler's run-time test includes the operating system's (XGETBV).
  std::vector<TileTier> tiers = {TileTier::kScalar};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    tiers.push_back(TileTier::kAvx2);
  }
  if (__builtin_cpu_supports("avx512f")) tiers.push_back(TileTier::kAvx512);
  return tiers;
}

TileKernel TileKernelOf(TileTier tier) { return KernelsOf(tier).panels; }
RowTileKernel RowTileKernelOf(TileTier tier) { return KernelsOf(tier).rows; }

const TileKernel& BestTileKernel() {
  static const TileKernel best = TileKernelOf(SupportedTileTiers().back());
  return best;
}

const RowTileKernel& BestRowTileKernel() {
  static const RowTileKernel best = RowTileKernelOf(SupportedTileTiers().back());
  return best;
}

bool HasFastTiles() {
  static const bool fast = SupportedTileTiers().back() != TileTier::kScalar;
  return fast;
}

void PackPart(const float* x, std::int64_t stride, std::int64_t count, std::int64_t columns,
              std::int64_t depth, float* panel) {
  for (std::int64_t t = 0; t < depth; ++t, x += stride, panel += columns) {
    std::copy_n(x, count, panel);
    std::fill(panel + count, panel + columns, 0.0F);
  }
}

}  // namespace cloister::dp::clipping
