#pragma once

#include <ATen/core/Tensor.h>

namespace cloister::dp::clipping {

// x w^T in fp32, for contiguous fp32 x [m, k] and w [n, k]: each of the m n sums of k products
// is added up in fp32, in some order. By oneDNN where this LibTorch has it, whose kernels use
// AVX-512 on every maker's processors. No gradient.
at::Tensor NarrowProduct(const at::Tensor& x, const at::Tensor& w);

// Whether it and at::mm do so: oneDNN can be told, by the environment as well, to round its factors
// to fewer bits first (ONEDNN_DEFAULT_FPMATH_MODE), and the bounds on norms would not hold. Tried
// once.
bool NarrowProductKeepsItsBits();

}  // namespace cloister::dp::clipping
