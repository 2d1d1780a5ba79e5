#include "dp/clipping/narrow_product.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "base/check.h"
#include "dp/clipping/onednn_linear.h"

namespace cloister::dp::clipping {

at::Tensor NarrowProduct(const at::Tensor& x, const at::Tensor& w) {
  // Others are worked on by a kernel that is hundreds of times slower.
  CLOISTER_CHECK(x.is_contiguous() && w.is_contiguous());
  if (!at::hasMKLDNN()) return at::mm(x, w.t());
  return OneDnnLinear(x, w);
}

bool NarrowProductKeepsItsBits() {
  static const bool keeps = [] {
    const at::NoGradGuard no_grad;
    // 1 + 2^-23 needs every bit of fp32; each sum has one product that is not zero.
    constexpr std::int64_t kSize = 64;
    const at::Tensor fine = at::eye(kSize, at::TensorOptions(at::kFloat)) * (1 + 0x1p-23F);
    const at::Tensor one = at::eye(kSize, at::TensorOptions(at::kFloat));
    return at::equal(NarrowProduct(fine, one), fine) && at::equal(NarrowProduct(one, fine), fine) &&
           at::equal(at::mm(fine, one), fine);
  }();
  return keeps;
}

}  // namespace cloister::dp::clipping
