#pragma once

// Inside trainer/networks/ only: the table of kernels of a tier, and in it those of a number type.

#include <type_traits>

#include "base/check.h"
#include "trainer/networks/row_kernels.h"

namespace cloister::trainer {

// The tables that the files of each instruction set have, in the tiers' order.
template <typename Tables>
Tables TablesOf(RowTier tier, Tables (*scalar)(), Tables (*avx2)(), Tables (*avx512)()) {
  switch (tier) {
    case RowTier::kScalar:
      return scalar();
    case RowTier::kAvx2:
      return avx2();
    case RowTier::kAvx512:
      return avx512();
  }
  base::CheckFailed(__FILE__, __LINE__, "a tier without kernels");
}

// T is float or Bf16.
template <typename T, typename Tables>
auto KernelsIn(const Tables& tables) {
  if constexpr (std::is_same_v<T, float>) {
    return tables.fp32;
  } else {
    return tables.bf16;
  }
}

}  // namespace cloister::trainer
