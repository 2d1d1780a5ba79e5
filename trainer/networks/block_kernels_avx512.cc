#include "trainer/networks/block_kernels_lanes.h"

namespace cloister::trainer {

BlockKernelTables Avx512BlockKernels() { return {kBlockTable<float>, kBlockTable<Bf16>}; }

}  // namespace cloister::trainer
