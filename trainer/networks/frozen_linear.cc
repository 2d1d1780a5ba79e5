#include "trainer/networks/frozen_linear.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <string_view>

namespace cloister::trainer {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

using OneDnnLinear = at::Tensor(const at::Tensor&, const at::Tensor&,
                                const std::optional<at::Tensor>&, std::string_view,
                                c10::List<std::optional<at::Scalar>>,
                                std::optional<std::string_view>);

struct FrozenLinearFunction : torch::autograd::Function<FrozenLinearFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& weight) {
    context->save_for_backward({weight});
    return Product(x, weight);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const at::Tensor weight = context->get_saved_variables()[0];
    return {Product(gradients[0], weight.t()), at::Tensor()};
  }
};

}  // namespace

at::Tensor Product(const at::Tensor& x, const at::Tensor& w) {
  if (!at::hasMKLDNN()) return at::linear(x, w);
  static const auto linear = c10::Dispatcher::singleton()
                                 .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
                                 .typed<OneDnnLinear>();
  return linear.call(x, w, std::nullopt, "none", c10::List<std::optional<at::Scalar>>(),
                     std::nullopt);
}

at::Tensor Linear(const at::Tensor& x, const at::Tensor& weight) {
  if (weight.requires_grad()) return at::linear(x, weight);
  return FrozenLinearFunction::apply(x, weight);
}

}  // namespace cloister::trainer
