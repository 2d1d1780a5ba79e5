#include "dp/clipping/row_tile_lanes.h"
#include "dp/clipping/tile_kernel_lanes.h"

namespace cloister::dp::clipping {

TileKernel Avx512TileKernel() { return kTileKernel<16, 8, 2>; }
RowTileKernel Avx512RowTileKernel() { return kRowTileKernel<16, 6, 4>; }

}  // namespace cloister::dp::clipping
