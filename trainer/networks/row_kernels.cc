#include "trainer/networks/row_kernels.h"

#include <type_traits>

#include "base/check.h"

namespace cloister::trainer {
namespace {

RowKernelTables TablesOf(RowTier tier) {
  switch (tier) {
    case RowTier::kScalar:
      return ScalarRowKernels();
    case RowTier::kAvx2:
      return Avx2RowKernels();
    case RowTier::kAvx512:
      return Avx512RowKernels();
  }
  base::CheckFailed(__FILE__, __LINE__, "a tier without row kernels");
}

template <typename T>
RowKernels<T> KernelsIn(const RowKernelTables& tables) {
  if constexpr (std::is_same_v<T, float>) {
    return tables.fp32;
  } else {
    return tables.bf16;
  }
}

}  // namespace

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
  return KernelsIn<T>(TablesOf(tier));
}

template <typename T>
const RowKernels<T>& Kernels() {
  static const RowKernels<T> best = KernelsOf<T>(SupportedRowTiers().back());
  return best;
}

template RowKernels<float> KernelsOf<float>(RowTier tier);
template RowKernels<Bf16> KernelsOf<Bf16>(RowTier tier);
template const RowKernels<float>& Kernels<float>();
template const RowKernels<Bf16>& Kernels<Bf16>();

}  // namespace cloister::trainer
