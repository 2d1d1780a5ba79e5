#include "dp/clipping/row_tile_lanes.h"
#include "dp/clipping/tile_kernel_lanes.h"

namespace cloister::dp::clipping {

TileKernels Avx512TileKernels() { return {kTileKernel<16, 8, 2>, kRowTileKernel<16, 6, 4>}; }

}  // namespace cloister::dp::clipping
