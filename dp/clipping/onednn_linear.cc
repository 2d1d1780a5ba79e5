#include "dp/clipping/onednn_linear.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>
#include <string_view>

namespace cloister::dp::clipping {
namespace {

using Linear = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                          std::string_view, c10::List<std::optional<at::Scalar>>,
                          std::optional<std::string_view>);

}  // namespace

at::Tensor OneDnnLinear(const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias) {
  static const auto linear = c10::Dispatcher::singleton()
                                 .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
                                 .typed<Linear>();
  return linear.call(x, w, bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt, "none",
                     c10::List<std::optional<at::Scalar>>(), std::nullopt);
}

}  // namespace cloister::dp::clipping
