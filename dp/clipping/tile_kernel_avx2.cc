#include "dp/clipping/row_tile_lanes.h"
#include "dp/clipping/tile_kernel_lanes.h"

namespace cloister::dp::clipping {

TileKernels Avx2TileKernels() { return {kTileKernel<8, 4, 3>, kRowTileKernel<8, 4, 3>}; }

}  // namespace cloister::dp::clipping
