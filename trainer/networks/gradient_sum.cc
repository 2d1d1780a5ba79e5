#include "trainer/networks/gradient_sum.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "base/check.h"

namespace cloister::trainer {

GradientSum::GradientSum(std::span<const dp::clipping::ParameterShape> shapes,
                         const at::Tensor& sum) {
  for (const auto& shape : shapes) {
    parts_.push_back(
        sum.narrow(0, shape.offset, shape.elements()).view({shape.rows, shape.columns}));
  }
}

void GradientSum::ObserveMatrix(std::int64_t parameter, const at::Tensor& left,
                                const at::Tensor& right) {
  const at::NoGradGuard no_grad;
  at::Tensor& part = parts_.at(static_cast<std::size_t>(parameter));
  if (part.scalar_type() == left.scalar_type()) {
    part.addmm_(left.t(), right);
  } else {
    part.add_(at::mm(left.t(), right));
  }
}

void GradientSum::ObserveLookup(std::int64_t parameter, const at::Tensor& ids,
                                const at::Tensor& values) {
  const at::NoGradGuard no_grad;
  at::Tensor& part = parts_.at(static_cast<std::size_t>(parameter));
  part.index_add_(0, ids, values.to(part.scalar_type()));
}

void GradientSum::ObserveVector(std::int64_t parameter, const at::Tensor& values) {
  const at::NoGradGuard no_grad;
  at::Tensor& part = parts_.at(static_cast<std::size_t>(parameter));
  CLOISTER_CHECK(part.size(1) == 1);
  part.squeeze(1).add_(values.sum(0));
}

}  // namespace cloister::trainer
