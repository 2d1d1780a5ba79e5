#include "trainer/audit/canary_gradient.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/check.h"

namespace cloister::trainer {
namespace {

// [1, size], zero but for `value` at `index`.
at::Tensor OneHot(std::int64_t size, std::int64_t index, double value) {
  at::Tensor row = at::zeros({1, size}, at::TensorOptions(at::kFloat));
  row.mutable_data_ptr<float>()[index] = static_cast<float>(value);
  return row;
}

}  // namespace

void ObserveCanary(const dp::audit::Canary& canary,
                   std::span<const dp::clipping::ParameterShape> shapes,
                   dp::clipping::GradientObserver& observer) {
  const auto shape = std::find_if(shapes.begin(), shapes.end(), [&](const auto& candidate) {
    return canary.coordinate >= candidate.offset &&
           canary.coordinate < candidate.offset + candidate.elements();
  });
  CLOISTER_CHECK(shape != shapes.end());
  const std::int64_t parameter = shape - shapes.begin();
  const std::int64_t within = canary.coordinate - shape->offset;
  observer.ObserveMatrix(parameter, OneHot(shape->rows, within / shape->columns, canary.value),
                         OneHot(shape->columns, within % shape->columns, 1));
}

}  // namespace cloister::trainer
