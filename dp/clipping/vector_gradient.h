#pragma once

#include <ATen/core/Tensor.h>

#include "dp/clipping/norm_bound.h"

namespace cloister::dp::clipping {

// The gradient of a vector (a norm's weight, a bias) for one unit: sum over t of values[t], in
// fp64.
class VectorGradient {
 public:
  explicit VectorGradient(const at::Tensor& values);  // [tokens, n]

  const NormBound& norm() const { return norm_; }
  const at::Tensor& built() const { return built_; }  // Ĝ: fp64 [n]

 private:
  at::Tensor built_;
  NormBound norm_;
};

}  // namespace cloister::dp::clipping
