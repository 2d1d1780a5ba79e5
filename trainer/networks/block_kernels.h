#pragma once

// Inside trainer/networks/, its tests and its benchmark only: blocks of quantized weights as
// numbers again, for each instruction set (block_kernels_lanes.h). All tiers give the same bits.

#include <cstddef>
#include <cstdint>

#include "trainer/networks/row_kernels.h"

namespace cloister::trainer {

// T is float, or Bf16: the same numbers rounded to nearest, ties to even. Scales must be finite.
template <typename T>
struct BlockKernels {
  // `count` blocks that follow one another, at any address, into `to` without gaps.
  using Dequantize = void (*)(const std::byte* blocks, std::int64_t count, T* to);
  Dequantize q8_0;  // model::DataType::kQ8_0: 34 bytes for 32 numbers
  Dequantize q4_0;  // model::DataType::kQ4_0: 18 bytes for 32 numbers
  Dequantize nf4;   // nf4.h: 36 bytes for 64 numbers
};

template <typename T>
BlockKernels<T> BlockKernelsOf(RowTier tier);
// Of the best tier.
template <typename T>
const BlockKernels<T>& BestBlockKernels();

// block_kernels_scalar.cc and its likes, compiled for their instructions.
struct BlockKernelTables {
  BlockKernels<float> fp32;
  BlockKernels<Bf16> bf16;
};
BlockKernelTables ScalarBlockKernels();
BlockKernelTables Avx2BlockKernels();
BlockKernelTables Avx512BlockKernels();

}  // namespace cloister::trainer
