#include "kernels/cpu/tables.h"

namespace cloister::kernels::cpu {

// The products in model::DataType's order.

const Kernels& ScalarKernels() {
  static constexpr Kernels kTable = {
      Tier::kScalar,
      {scalar::MatmulF32, scalar::MatmulF16, scalar::MatmulBF16, scalar::MatmulQ8_0,
       scalar::MatmulQ4_0, scalar::MatmulQ4_1, scalar::MatmulQ5_0, scalar::MatmulQ5_1,
       scalar::MatmulQ4_K, scalar::MatmulQ5_K, scalar::MatmulQ6_K, scalar::MatmulF8},
      scalar::Quantize,
      scalar::QuantizeSuperBlocks,
      scalar::Dot,
      scalar::Axpy,
      scalar::RmsNorm,
      scalar::Softmax,
      scalar::Rope,
      scalar::SiluMultiply,
      scalar::WeightedSum};
  return kTable;
}

const Kernels& Avx2Kernels() {
  static constexpr Kernels kTable = {
      Tier::kAvx2,
      {avx2::MatmulF32, avx2::MatmulF16, avx2::MatmulBF16, avx2::MatmulQ8_0, avx2::MatmulQ4_0,
       avx2::MatmulQ4_1, avx2::MatmulQ5_0, avx2::MatmulQ5_1, avx2::MatmulQ4_K, avx2::MatmulQ5_K,
       avx2::MatmulQ6_K, avx2::MatmulF8},
      avx2::Quantize,
      avx2::QuantizeSuperBlocks,
      avx2::Dot,
      avx2::Axpy,
      avx2::RmsNorm,
      avx2::Softmax,
      avx2::Rope,
      avx2::SiluMultiply,
      avx2::WeightedSum};
  return kTable;
}

}  // namespace cloister::kernels::cpu
