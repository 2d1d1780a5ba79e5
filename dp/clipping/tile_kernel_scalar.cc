#include "dp/clipping/row_tile_lanes.h"
#include "dp/clipping/tile_kernel_lanes.h"

namespace cloister::dp::clipping {

TileKernel ScalarTileKernel() { return kTileKernel<4, 4, 2>; }
RowTileKernel ScalarRowTileKernel() { return kRowTileKernel<4, 4, 2>; }

}  // namespace cloister::dp::clipping
