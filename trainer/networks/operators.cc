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
    const auto size = static_cast<double>(x.size(-1));
    const at::Tensor inverse = at::linalg_vector_norm(x, 2, at::IntArrayRef{-1}, /*keepdim=*/true)
                                   .square_()
                                   .div_(size)
                                   .add_(epsilon)
                                   .rsqrt_();
    context->save_for_backward({x, weight, inverse});
    return (x * inverse).mul_(weight);
  }

  // With n = x * inverse:  dx = inverse * (g w - n * mean(g w n)),  dw = sum of g n.
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &inverse = saved[2];
    const at::Tensor& g = gradients[0];
    at::Tensor gradient_x, gradient_weight;
    if (context->needs_input_grad(1)) {
      gradient_weight = (g * x * inverse).reshape({-1, x.size(-1)}).sum(0);
    }
    if (context->needs_input_grad(0)) {
      gradient_x = g * weight;
      const auto size = static_cast<double>(x.size(-1));
      const at::Tensor mean = (gradient_x * x).sum(-1, /*keepdim=*/true).div_(size);
      gradient_x.mul_(inverse).addcmul_(x, mean * inverse * inverse * inverse, -1);
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

// The rotation and, with the sine's sign turned, its inverse.
at::Tensor Rotated(const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine,
                   double sign) {
  const std::int64_t half = x.size(-1) / 2;
  const at::Tensor first = x.narrow(-1, 0, half), second = x.narrow(-1, half, half);
  at::Tensor result = at::empty(x.sizes(), x.options());
  result.narrow(-1, 0, half).copy_(first * cosine).addcmul_(second, sine, -sign);
  result.narrow(-1, half, half).copy_(second * cosine).addcmul_(first, sine, sign);
  return result;
}

struct RotateFunction : torch::autograd::Function<RotateFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& cosine,
                            const at::Tensor& sine) {
    context->save_for_backward({cosine, sine});
    return Rotated(x, cosine, sine, 1);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    return {Rotated(gradients[0], saved[0], saved[1], -1), at::Tensor(), at::Tensor()};
  }
};

at::Tensor RepeatHeads(const at::Tensor& x, std::int64_t times) {
  if (times == 1) return x;
  const at::IntArrayRef s = x.sizes();
  return x.unsqueeze(2)
      .expand({s[0], s[1], times, s[2], s[3]})
      .reshape({s[0], s[1] * times, s[2], s[3]});
}

}  // namespace

at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  return RmsNormFunction::apply(x, weight, epsilon);
}

at::Tensor SwiGlu(const at::Tensor& gate_up) { return SwiGluFunction::apply(gate_up); }

RotaryTable MakeRotaryTable(const model::Rope& rope, std::int64_t rotary_dim,
                            std::int64_t positions) {
  std::vector<double> inverse = rope.InverseFrequencies(rotary_dim);
  const at::Tensor frequencies = at::from_blob(inverse.data(), {rotary_dim / 2}, at::kDouble);
  const at::Tensor angles = at::outer(at::arange(positions, at::kDouble), frequencies);
  return {angles.cos().to(at::kFloat), angles.sin().to(at::kFloat)};
}

at::Tensor Rotate(const at::Tensor& x, const RotaryTable& table) {
  const std::int64_t tokens = x.size(1);
  return RotateFunction::apply(x, table.cosine.narrow(0, 0, tokens).unsqueeze(1),
                               table.sine.narrow(0, 0, tokens).unsqueeze(1));
}

at::Tensor CausalAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const std::int64_t times = q.size(1) / k.size(1);
  return at::scaled_dot_product_attention(q, RepeatHeads(k, times), RepeatHeads(v, times),
                                          /*attn_mask=*/{}, /*dropout_p=*/0.0, /*is_causal=*/true);
}

}  // namespace cloister::trainer
