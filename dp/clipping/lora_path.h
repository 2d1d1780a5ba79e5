#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "dp/clipping/gradient_observer.h"

namespace cloister::dp::clipping {

// Who is told of a path's gradients, and by which numbers its two matrices go there.
struct PathObservation {
  GradientObserver* observer = nullptr;  // none: A and B get ordinary gradients
  std::int64_t a = 0, b = 0;
};

// scale * (x A^T) B^T for x [batch, tokens, in], A [rank, in], B [out, rank]: what LoRA adds to a
// linear layer's output. A and B are fp32, and rounded to x's type where they enter products.
// Differentiable in x. Without an observer also in A and B; with one, A and B get no gradient and
// the observer is told what theirs are made of:
//   of B [out, rank]:  sum over t of g[t] h[t]^T,   g = scale * gradient of the output, h = x A^T
//   of A [rank, in]:   sum over t of u[t] x[t]^T,   u = g B
// The observer must outlive the backward pass. A or B must require a gradient for the path to be
// seen.
at::Tensor LoraPath(const at::Tensor& x, const at::Tensor& a, const at::Tensor& b, double scale,
                    const PathObservation& observation);

}  // namespace cloister::dp::clipping
