#include "dp/clipping/tile_kernels.h"

#include "base/check.h"

namespace cloister::dp::clipping {

std::vector<TileTier> SupportedTileTiers() {
  // The compiler's run-time test includes the operating system's (XGETBV).
  std::vector<TileTier> tiers = {TileTier::kScalar};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    tiers.push_back(TileTier::kAvx2);
  }
  if (__builtin_cpu_supports("avx512f")) tiers.push_back(TileTier::kAvx512);
  return tiers;
}

TileKernel TileKernelOf(TileTier tier) {
  switch (tier) {
    case TileTier::kScalar:
      return ScalarTileKernel();
    case TileTier::kAvx2:
      return Avx2TileKernel();
    case TileTier::kAvx512:
      return Avx512TileKernel();
  }
  base::CheckFailed(__FILE__, __LINE__, "a tier without a tile kernel");
}

const TileKernel& BestTileKernel() {
  static const TileKernel best = TileKernelOf(SupportedTileTiers().back());
  return best;
}

}  // namespace cloister::dp::clipping
