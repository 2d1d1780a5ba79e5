#include "dp/clipping/row_tile_lanes.h"
#include "dp/clipping/tile_kernel_lanes.h"

namespace cloister::dp::clipping {

TileKernel Avx2TileKernel() { return kTileKernel<8, 4, 3>; }
RowTileKernel Avx2RowTileKernel() { return kRowTileKernel<8, 4, 3>; }

}  // namespace cloister::dp::clipping
