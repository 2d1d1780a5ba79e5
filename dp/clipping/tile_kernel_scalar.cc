#include "dp/clipping/row_tile_lanes.h"
#include "dp/clipping/tile_kernel_lanes.h"

namespace cloister::dp::clipping {

TileKernels ScalarTileKernels() { return {kTileKernel<4, 4, 2>, kRowTileKernel<4, 4, 2>}; }

}  // namespace cloister::dp::clipping
