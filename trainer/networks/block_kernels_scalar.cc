#include "trainer/networks/block_kernels_lanes.h"

namespace cloister::trainer {

BlockKernelTables ScalarBlockKernels() { return {kBlockTable<float>, kBlockTable<Bf16>}; }

}  // namespace cloister::trainer
