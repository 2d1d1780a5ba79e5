#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace cloister::trainer {

// A differentiable part of a network as a function of its input; called again it must give the same
// values.
using Segment = std::function<at::Tensor(const at::Tensor& x)>;

// segment(x), keeping x alone for the backward pass, which runs `segment` a second time, with
// autograd, and differentiates that (Chen et al. 2016, arXiv 1604.06174). Values and gradients are
// those of calling `segment` itself, bit for bit.
//
// `leaves` are the tensors other than x that the result is to be differentiated in; those that
// require no gradient may stand among them. Whoever `segment` tells of gradients in a backward pass
// is told once. What `segment` refers to must outlive the backward pass, and be unchanged until
// then. Backward passes of several threads do not meet.
at::Tensor Checkpoint(Segment segment, const at::Tensor& x, at::TensorList leaves);

}  // namespace cloister::trainer
