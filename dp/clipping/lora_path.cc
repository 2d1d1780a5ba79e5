#include "dp/clipping/lora_path.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "dp/clipping/observer_handle.h"
#include "dp/clipping/once_differentiable.h"

namespace cloister::dp::clipping {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct LoraPathFunction : torch::autograd::Function<LoraPathFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& a,
                            const at::Tensor& b, double scale, std::int64_t observer,
                            std::int64_t a_parameter, std::int64_t b_parameter) {
    const at::Tensor a_factor = a.to(x.scalar_type()), b_factor = b.to(x.scalar_type());
    const at::Tensor h = at::matmul(x, a_factor.t());
    context->save_for_backward({x, a_factor, b_factor, h});
    context->saved_data["scale"] = scale;
    context->saved_data["observer"] = observer;
    context->saved_data["a"] = a_parameter;
    context->saved_data["b"] = b_parameter;
    return at::matmul(h, b_factor.t()).mul_(scale);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    RefuseSecondDerivative();
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &a = saved[1], &b = saved[2], &h = saved[3];
    const at::Tensor g = gradients[0] * context->saved_data["scale"].toDouble();
    const at::Tensor u = at::matmul(g, b);
    at::Tensor gradient_x, gradient_a, gradient_b;
    if (context->needs_input_grad(0)) gradient_x = at::matmul(u, a);
    const std::int64_t observer = context->saved_data["observer"].toInt();
    if (observer != 0) {
      auto* const told = ObserverOf(observer);
      told->ObserveMatrix(context->saved_data["a"].toInt(), TokenRows(u), TokenRows(x));
      told->ObserveMatrix(context->saved_data["b"].toInt(), TokenRows(g), TokenRows(h));
    } else {
      const auto wide = [](const at::Tensor& t) { return TokenRows(t).to(at::kFloat); };
      gradient_a = at::matmul(wide(u).t(), wide(x));
      gradient_b = at::matmul(wide(g).t(), wide(h));
    }
    const at::Tensor none;
    return {gradient_x, gradient_a, gradient_b, none, none, none, none};
  }
};

}  // namespace

at::Tensor LoraPath(const at::Tensor& x, const at::Tensor& a, const at::Tensor& b, double scale,
                    const PathObservation& observation) {
  return LoraPathFunction::apply(x, a, b, scale, HandleOf(observation.observer), observation.a,
                                 observation.b);
}

}  // namespace cloister::dp::clipping
