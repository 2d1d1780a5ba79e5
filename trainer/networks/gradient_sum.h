#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "dp/clipping/gradient_observer.h"
#include "dp/clipping/parameter_shape.h"

namespace cloister::trainer {

// Adds up, where it stands, the gradient that it is told of: training without clipping. Here rows
// of one call may be of several examples.
class GradientSum final : public dp::clipping::GradientObserver {
 public:
  // `sum` fp32 or fp64 [parameters], cut into `shapes`. fp32 matrices are added to as they are
  // multiplied; nothing of a matrix's size is made for it.
  GradientSum(std::span<const dp::clipping::ParameterShape> shapes, const at::Tensor& sum);

  void ObserveMatrix(std::int64_t parameter, const at::Tensor& left,
                     const at::Tensor& right) override;
  void ObserveLookup(std::int64_t parameter, const at::Tensor& ids,
                     const at::Tensor& values) override;
  void ObserveVector(std::int64_t parameter, const at::Tensor& values) override;

 private:
  std::vector<at::Tensor> parts_;  // [rows, columns], of `sum`
};

}  // namespace cloister::trainer
