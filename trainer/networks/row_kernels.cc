#include "trainer/networks/row_kernels.h"

#include "trainer/networks/tier_tables.h"

namespace cloister::trainer {

std::vector<RowTier> SupportedRowTiers() {
  // The compiler's run-time test includes the operating system's (XGETBV).
  std::vector<RowTier> tiers = {RowTier::kScalar};
  if (__builtin_cpu_supports("avx2")) tiers.push_back(RowTier::kAvx2);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    tiers.push_back(RowTier::kAvx512);
  }
  return tiers;
}

template <typename T>
RowKernels<T> KernelsOf(RowTier tier) {
  return KernelsIn<T>(TablesOf(tier, ScalarRowKernels, Avx2RowKernels, Avx512RowKernels));
}

template <typename T>
const RowKernels<T>& Kernels() {
  static const RowKernels<T> best = KernelsOf<T>(SupportedRowTiers().back());
  return best;
}

ScoreKernels ScoreKernelsOf(RowTier tier) {
  return TablesOf(tier, ScalarRowKernels, Avx2RowKernels, Avx512RowKernels).scores;
}

const ScoreKernels& BestScoreKernels() {
  static const ScoreKernels best = ScoreKernelsOf(SupportedRowTiers().back());
  return best;
}

template RowKernels<float> KernelsOf<float>(RowTier tier);
template RowKernels<Bf16> KernelsOf<Bf16>(RowTier tier);
template const RowKernels<float>& Kernels<float>();
template const RowKernels<Bf16>& Kernels<Bf16>();

}  // namespace cloister::trainer
