#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "dp/clipping/tile_kernels.h"

namespace cloister::dp::clipping {

// Products of activations with a weight matrix, which is put in a kernel's order piece by piece and
// fetched from memory while other pieces are multiplied: of some hundred rows, where a library's
// copying shows, they come near the processor's peak (docs/benchmarks.md).

// True of fp32 factors x [.., k] of contiguous rows and w [n, k] that is contiguous itself or the
// transpose of what is, on a processor with a kernel faster than the compiler's plain one; not of a
// few rows, which are multiplied sooner than w is put in order.
bool TakesRowProduct(const at::Tensor& x, const at::Tensor& w);

// x w^T, plus `bias` [n] where it is defined, [.., n], for factors of which TakesRowProduct() holds
// but for the processor and the number of rows. Each number is the fp32 sum of the sums of at most
// 640 terms in the order of k, so that its rounding does not grow with k as one sum's would: a row
// of the product is bit for bit a function of its row of x, w, the bias and the kernel, whatever
// the other rows and the number of threads. No gradient.
at::Tensor RowProduct(const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias = {});
at::Tensor RowProduct(const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias,
                      const RowTileKernel& kernel);

}  // namespace cloister::dp::clipping
