#include "dp/clipping/tile_kernel_lanes.h"

namespace cloister::dp::clipping {

TileKernel Avx512TileKernel() { return kTileKernel<16, 8, 2>; }

}  // namespace cloister::dp::clipping
