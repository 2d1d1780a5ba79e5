#include "trainer/networks/block_kernels.h"

#include <type_traits>

#include "base/check.h"

namespace cloister::trainer {
namespace {

BlockKernelTables TablesOf(RowTier tier) {
  switch (tier) {
    case RowTier::kScalar:
      return ScalarBlockKernels();
    case RowTier::kAvx2:
      return Avx2BlockKernels();
    case RowTier::kAvx512:
      return Avx512BlockKernels();
  }
  base::CheckFailed(__FILE__, __LINE__, "a tier without block kernels");
}

}  // namespace

template <typename T>
BlockKernels<T> BlockKernelsOf(RowTier tier) {
  if constexpr (std::is_same_v<T, float>) {
    return TablesOf(tier).fp32;
  } else {
    return TablesOf(tier).bf16;
  }
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
