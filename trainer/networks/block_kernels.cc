#include "trainer/networks/block_kernels.h"

#include "trainer/networks/tier_tables.h"

namespace cloister::trainer {

template <typename T>
BlockKernels<T> BlockKernelsOf(RowTier tier) {
  return KernelsIn<T>(TablesOf(tier, ScalarBlockKernels, Avx2BlockKernels, Avx512BlockKernels));
}

template <typename T>
const BlockKernels<T>& BestBlockKernels() {
  static const BlockKernels<T> best = BlockKernelsOf<T>(SupportedRowTiers().back());
  return best;
}

template BlockKernels<float> BlockKernelsOf<float>(RowTier tier);
template BlockKernels<Bf16> BlockKernelsOf<Bf16>(RowTier tier);
template const BlockKernels<float>& BestBlockKernels<float>();
template const BlockKernels<Bf16>& BestBlockKernels<Bf16>();

}  // namespace cloister::trainer
