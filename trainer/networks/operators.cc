#include "trainer/networks/operators.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

namespace cloister::trainer {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct RmsNormFunction : torch::autograd::Function<RmsNormFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            double epsilon) {
    const at::Tensor inverse = InverseRms(x, epsilon);
    context->save_for_backward({x, weight, inverse});
    return (x * inverse).mul_(weight);
  }

  // With n = x * inverse:  dw = sum of g n.
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &inverse = saved[2];
    const at::Tensor& g = gradients[0];
    at::Tensor gradient_x, gradient_weight;
    if (context->needs_input_grad(1)) {
      gradient_weight = (g * x * inverse).reshape({-1, x.size(-1)}).sum(0);
    }
    if (context->needs_input_grad(0)) {
      gradient_x = RmsNormInputGradient(g, x, weight, inverse);
    }
    return {gradient_x, gradient_weight, at::Tensor()};
  }
};

struct SwiGluFunction : torch::autograd::Function<SwiGluFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gate_up) {
    context->save_for_backward({gate_up});
    const std::vector<at::Tensor> halves = gate_up.chunk(2, -1);
    return at::silu(halves[0]).mul_(halves[1]);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const at::Tensor gate_up = context->get_saved_variables()[0];
    const std::vector<at::Tensor> halves = gate_up.chunk(2, -1);
    const at::Tensor& g = gradients[0];
    at::Tensor result = at::empty_like(gate_up);
    const std::vector<at::Tensor> outputs = result.chunk(2, -1);
    outputs[0].copy_(at::silu_backward(g * halves[1], halves[0]));
    at::Tensor up = outputs[1];
    at::mul_out(up, at::silu(halves[0]), g);
    return {result};
  }
};

}  // namespace

at::Tensor InverseRms(const at::Tensor& x, double epsilon) {
  const auto size = static_cast<double>(x.size(-1));
  return at::linalg_vector_norm(x, 2, at::IntArrayRef{-1}, /*keepdim=*/true)
      .square_()
      .div_(size)
      .add_(epsilon)
      .rsqrt_();
}

// With n = x * inverse:  dx = inverse * (g w - n * mean(g w n)).
at::Tensor RmsNormInputGradient(const at::Tensor& gradient, const at::Tensor& x,
                                const at::Tensor& weight, const at::Tensor& inverse) {
  at::Tensor result = gradient * weight;
  const auto size = static_cast<double>(x.size(-1));
  const at::Tensor mean = (result * x).sum(-1, /*keepdim=*/true).div_(size);
  return result.mul_(inverse).addcmul_(x, mean * inverse * inverse * inverse, -1);
}

at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  return RmsNormFunction::apply(x, weight, epsilon);
}

at::Tensor SwiGlu(const at::Tensor& gate_up) { return SwiGluFunction::apply(gate_up); }

}  // namespace cloister::trainer
