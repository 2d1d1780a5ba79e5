#pragma once

#include "kernels/cpu/kernels.h"

// The functions of each tier, collected into one table a tier by tables.cc.
//
// A file of a tier above scalar is compiled with that tier's instructions. It defines only these
// functions and what lies in an unnamed namespace, and calls no inline function of a shared header:
// the linker keeps one copy of those, perhaps the copy that an older processor cannot run.
namespace cloister::kernels::cpu {

const Kernels& ScalarKernels();
const Kernels& Avx2Kernels();

namespace scalar {
void MatmulF32(const MatmulArguments&);
void MatmulF16(const MatmulArguments&);
void MatmulBF16(const MatmulArguments&);
void MatmulF8(const MatmulArguments&);
void MatmulQ8_0(const MatmulArguments&);
void MatmulQ4_0(const MatmulArguments&);
void MatmulQ4_1(const MatmulArguments&);
void MatmulQ5_0(const MatmulArguments&);
void MatmulQ5_1(const MatmulArguments&);
void MatmulQ4_K(const MatmulArguments&);
void MatmulQ5_K(const MatmulArguments&);
void MatmulQ6_K(const MatmulArguments&);
void Quantize(const float*, std::int64_t, std::int8_t*, float*, float*);
void QuantizeSuperBlocks(const float*, std::int64_t, std::int8_t*, float*, std::int16_t*);
float Dot(const float*, const float*, std::int64_t);
void Axpy(float, const float*, float*, std::int64_t);
void RmsNorm(const float*, const float*, float, std::int64_t, float*);
void Softmax(float*, std::int64_t);
void Rope(float*, const float*, const float*, std::int64_t);
void SiluMultiply(const float*, const float*, std::int64_t, float*);
void WeightedSum(const Kernels::WeightedSumArguments&);
}  // namespace scalar

namespace avx2 {
void MatmulF32(const MatmulArguments&);
void MatmulF16(const MatmulArguments&);
void MatmulBF16(const MatmulArguments&);
void MatmulF8(const MatmulArguments&);
void MatmulQ8_0(const MatmulArguments&);
void MatmulQ4_0(const MatmulArguments&);
void MatmulQ4_1(const MatmulArguments&);
void MatmulQ5_0(const MatmulArguments&);
void MatmulQ5_1(const MatmulArguments&);
void MatmulQ4_K(const MatmulArguments&);
void MatmulQ5_K(const MatmulArguments&);
void MatmulQ6_K(const MatmulArguments&);
void Quantize(const float*, std::int64_t, std::int8_t*, float*, float*);
void QuantizeSuperBlocks(const float*, std::int64_t, std::int8_t*, float*, std::int16_t*);
float Dot(const float*, const float*, std::int64_t);
void Axpy(float, const float*, float*, std::int64_t);
void RmsNorm(const float*, const float*, float, std::int64_t, float*);
void Softmax(float*, std::int64_t);
void Rope(float*, const float*, const float*, std::int64_t);
void SiluMultiply(const float*, const float*, std::int64_t, float*);
void WeightedSum(const Kernels::WeightedSumArguments&);
}  // namespace avx2

}  // namespace cloister::kernels::cpu
