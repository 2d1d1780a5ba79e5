#include "dp/clipping/narrow_product.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>

#include <optional>
#include <string_view>

#include "base/check.h"

namespace cloister::dp::clipping {
namespace {

using OneDnnLinear = at::Tensor(const at::Tensor&, const at::Tensor&,
                                const std::optional<at::Tensor>&, std::string_view,
                                c10::List<std::optional<at::Scalar>>,
                                std::optional<std::string_view>);

}  // namespace

at::Tensor NarrowProduct(const at::Tensor& x, const at::Tensor& w) {
  // Others are worked on by a kernel that is hundreds of times slower.
  CLOISTER_CHECK(x.is_contiguous() && w.is_contiguous());
  if (!at::hasMKLDNN()) return at::mm(x, w.t());
  static const auto linear = c10::Dispatcher::singleton()
                                 .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
                                 .typed<OneDnnLinear>();
  return linear.call(x, w, std::nullopt, "none", c10::List<std::optional<at::Scalar>>(),
                     std::nullopt);
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
