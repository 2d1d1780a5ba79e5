#pragma once

#include <ATen/core/Tensor.h>

#include "trainer/networks/weights.h"

namespace cloister::trainer {

// x w^T for fp32 x [.., in] and w [out, in], any strides, plus `bias` [out] where it is defined. By
// oneDNN where this LibTorch has it: its kernels use AVX-512 on every maker's processors. No
// gradient.
at::Tensor Product(const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias = {});

// A linear layer's output, differentiable in x; keeps nothing but the weight for the backward pass.
// A weight that requires a gradient gets one, and its bias too; then the input is kept as well.
at::Tensor Linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {});
inline at::Tensor Linear(const at::Tensor& x, const LinearWeights& linear) {
  return Linear(x, linear.weight, linear.bias);
}

}  // namespace cloister::trainer
