#include "trainer/networks/row_kernels_lanes.h"

namespace cloister::trainer {

RowKernelTables Avx512RowKernels() { return {kTable<float>, kTable<Bf16>}; }

}  // namespace cloister::trainer
