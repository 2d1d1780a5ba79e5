#include "trainer/networks/row_kernels_lanes.h"
#include "trainer/networks/score_kernels_lanes.h"

namespace cloister::trainer {

RowKernelTables Avx2RowKernels() { return {kTable<float>, kTable<Bf16>, kScores}; }

}  // namespace cloister::trainer
