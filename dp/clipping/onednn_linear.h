#pragma once

#include <ATen/core/Tensor.h>

namespace cloister::dp::clipping {

// x w^T, plus `bias` [n] where it is defined, for x [.., k] and w [n, k] of one type, by oneDNN,
// whose kernels use AVX-512 on every maker's processors. at::hasMKLDNN() must hold; throws as
// LibTorch does for a type that oneDNN has no kernel for. No gradient.
at::Tensor OneDnnLinear(const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias = {});

}  // namespace cloister::dp::clipping
