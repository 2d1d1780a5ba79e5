#include "kernels/cpu/tables.h"

namespace cloister::kernels::cpu {

const Kernels& ScalarKernels() {
  // In model::DataType's order: F32, F16, BF16, Q8_0, Q4_0, Q4_1.
  static constexpr Kernels kTable = {Tier::kScalar,
                                     {scalar::MatmulF32, scalar::MatmulF16, scalar::MatmulBF16,
                                      scalar::MatmulQ8_0, scalar::MatmulQ4_0, scalar::MatmulQ4_1},
                                     scalar::Quantize,
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
  static constexpr Kernels kTable = {Tier::kAvx2,
                                     {avx2::MatmulF32, avx2::MatmulF16, avx2::MatmulBF16,
                                      avx2::MatmulQ8_0, avx2::MatmulQ4_0, avx2::MatmulQ4_1},
                                     avx2::Quantize,
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
