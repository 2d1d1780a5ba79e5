#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace cloister::dp::clipping {

// What one low-rank path saw in one backward pass, fp32, batch first. The gradients of example b
// are
//   of B [out, rank]:  sum over t of g[b,t] h[b,t]^T
//   of A [rank, in]:   sum over t of u[b,t] x[b,t]^T
struct PathTensors {
  at::Tensor x;  // [batch, tokens, in]    the layer's input
  at::Tensor h;  // [batch, tokens, rank]  x A^T
  at::Tensor g;  // [batch, tokens, out]   scale * gradient of the layer's output
  at::Tensor u;  // [batch, tokens, rank]  g B
};

// Told of every path once in a backward pass.
class PathObserver {
 public:
  virtual ~PathObserver() = default;
  virtual void Observe(std::int64_t path, PathTensors tensors) = 0;
};

// scale * (x A^T) B^T for x [batch, tokens, in], A [rank, in], B [out, rank]: what LoRA adds to a
// linear layer's output. Differentiable in x. Without an observer also in A and B; with one, A and
// B get no gradient and the observer is told what their per-example gradients are made of. The
// observer must outlive the backward pass. A or B must require a gradient for the path to be seen.
at::Tensor LoraPath(const at::Tensor& x, const at::Tensor& a, const at::Tensor& b, double scale,
                    PathObserver* observer, std::int64_t path);

}  // namespace cloister::dp::clipping
