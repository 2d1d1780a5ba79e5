#include "trainer/networks/frozen_linear.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <exception>
#include <optional>

#include "dp/clipping/onednn_linear.h"

namespace cloister::trainer {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

std::optional<at::Tensor> IfDefined(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional<at::Tensor>(tensor) : std::nullopt;
}

// oneDNN refuses bfloat16 on processors without AVX-512 or its like.
bool OneDnnHasBf16() {
  static const bool has = [] {
    if (!at::hasMKLDNN()) return false;
    try {
      const at::NoGradGuard no_grad;
      const at::Tensor one = at::ones({16, 16}, at::kBFloat16);
      dp::clipping::OneDnnLinear(one, one);
      return true;
    } catch (const std::exception&) {
      return false;
    }
  }();
  return has;
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

// Products read `factor`, the weight itself or its rounded copy; the gradient is of the weight.
struct TrainedLinearFunction : torch::autograd::Function<TrainedLinearFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& /*weight*/, const std::optional<at::Tensor>& bias,
                            const at::Tensor& factor) {
    context->save_for_backward({x, factor.detach()});
    context->saved_data["bias"] = bias.has_value();
    return Product(x, factor, bias.value_or(at::Tensor()));
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& g = gradients[0];
    const at::Tensor x_rows = saved[0].reshape({-1, saved[0].size(-1)});
    const at::Tensor g_rows = g.reshape({-1, g.size(-1)});
    at::Tensor gradient_x, gradient_weight, gradient_bias;
    if (context->needs_input_grad(0)) gradient_x = Product(g, saved[1].t());
    if (context->needs_input_grad(1)) {
      gradient_weight = Product(g_rows.t(), x_rows.t()).to(at::kFloat);
    }
    if (context->saved_data["bias"].toBool()) {
      gradient_bias = g_rows.sum(0, /*keepdim=*/false, at::kFloat);
    }
    return {gradient_x, gradient_weight, gradient_bias, at::Tensor()};
  }
};

}  // namespace

at::Tensor Product(const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias) {
  const at::Tensor addend = bias.defined() ? bias.to(x.scalar_type()) : bias;
  const bool bf16 = x.scalar_type() == at::kBFloat16;
  if (bf16 ? OneDnnHasBf16() : at::hasMKLDNN()) return dp::clipping::OneDnnLinear(x, w, addend);
  return at::linear(x, w, IfDefined(addend));
}

at::Tensor Linear(const at::Tensor& x, const LinearWeights& linear) {
  const std::optional<at::Tensor> bias = IfDefined(linear.bias);
  if (!linear.weight.requires_grad()) {
    return FrozenLinearFunction::apply(x, linear.factor(), bias);
  }
  return TrainedLinearFunction::apply(x, linear.weight, bias, linear.factor().detach());
}

}  // namespace cloister::trainer
