#include "dp/clipping/vector_gradient.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace cloister::dp::clipping {

VectorGradient::VectorGradient(const at::Tensor& values) {
  const at::NoGradGuard no_grad;
  built_ = values.detach().cpu().to(at::kDouble).sum(0);
  norm_ = NormBound::Of(at::linalg_vector_norm(built_).item<double>(), built_.numel());
}

}  // namespace cloister::dp::clipping
