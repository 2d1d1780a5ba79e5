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

std::optional<at::Tensor> IfDefined(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional<at::Tensor>(tensor) : std::nullopt;
}

struct FrozenLinearFunction : torch::autograd::Function<FrozenLinearFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias) {
    context->save_for_backward({weight});
    return Product(x, weight, bias.value_or(at::Tensor()));
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const at::Tensor weight = context->get_saved_variables()[0];
    return {Product(gradients[0], weight.t()), at::Tensor(), at::Tensor()};
  }
};

struct TrainedLinearFunction : torch::autograd::Function<TrainedLinearFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias) {
    context->save_for_backward({x, weight});
    context->saved_data["bias"] = bias.has_value();
    return Product(x, weight, bias.value_or(at::Tensor()));
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& g = gradients[0];
    const at::Tensor x_rows = saved[0].reshape({-1, saved[0].size(-1)});
    const at::Tensor g_rows = g.reshape({-1, g.size(-1)});
    at::Tensor gradient_x, gradient_weight, gradient_bias;
    if (context->needs_input_grad(0)) gradient_x = Product(g, saved[1].t());
    if (context->needs_input_grad(1)) gradient_weight = Product(g_rows.t(), x_rows.t());
    if (context->saved_data["bias"].toBool()) gradient_bias = g_rows.sum(0);
    return {gradient_x, gradient_weight, gradient_bias};
  }
};

}  // namespace

at::Tensor Product(const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias) {
  if (!at::hasMKLDNN()) return at::linear(x, w, IfDefined(bias));
  static const auto linear = c10::Dispatcher::singleton()
                                 .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
                                 .typed<OneDnnLinear>();
  return linear.call(x, w, IfDefined(bias), "none", c10::List<std::optional<at::Scalar>>(),
                     std::nullopt);
}

at::Tensor Linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  if (weight.requires_grad()) return TrainedLinearFunction::apply(x, weight, IfDefined(bias));
  return FrozenLinearFunction::apply(x, weight, IfDefined(bias));
}

}  // namespace cloister::trainer
