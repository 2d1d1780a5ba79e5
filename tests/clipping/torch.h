#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include "dp/mechanism/unnoised.h"

namespace cloister::dp::clipping {

inline at::Tensor Values(const ClippedSum& sum) {
  return at::tensor(Unnoised::Values(sum), at::TensorOptions(at::kDouble));
}

}  // namespace cloister::dp::clipping
