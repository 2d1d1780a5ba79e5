#pragma once

#include <ATen/core/Tensor.h>

#include "trainer/networks/weights.h"

namespace cloister::trainer {

// x w^T for x [.., in] and w [out, in], any strides, plus `bias` [out] where it is defined. fp32,
// or both bfloat16 and added up in fp32. By RowProduct() where it takes them, else by oneDNN where
// this LibTorch has it for this processor: its kernels use AVX-512 on every maker's processors. No
// gradient.
at::Tensor Product(const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias = {});

// x w^T plus the bias, and g w, for a layer's weight w as products read it. A weight in blocks
// becomes numbers tile by tile, of g's or x's type: nothing of its size is held. No gradient.
at::Tensor Product(const at::Tensor& x, const LinearWeights& linear);
at::Tensor InputGradient(const at::Tensor& g, const LinearWeights& linear);

// A linear layer's output, differentiable in x; keeps nothing but the weight for the backward pass.
// A weight that requires a gradient gets one, and its bias too, fp32 for an fp32 weight; then the
// input is kept as well. A weight in blocks must outlive the backward pass.
at::Tensor Linear(const at::Tensor& x, const LinearWeights& linear);

}  // namespace cloister::trainer
