#include "trainer/networks/operators.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

#include "base/check.h"
#include "dp/clipping/once_differentiable.h"
#include "trainer/networks/plain_operators.h"
#include "trainer/networks/row_tensors.h"

namespace cloister::trainer {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor WideRows(const at::Tensor& x) { return x.to(at::kFloat).contiguous(); }

struct RmsNormFunction : torch::autograd::Function<RmsNormFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            double epsilon, at::ScalarType type) {
    const NormalizedRows normalized = NormalizeRows(x, weight, epsilon, type);
    context->save_for_backward({x, weight, normalized.inverse});
    return normalized.y;
  }

  // With n = x * inverse:  dw = sum of g n.
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    dp::clipping::RefuseSecondDerivative();
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &inverse = saved[2];
    const at::Tensor& g = gradients[0];
    at::Tensor gradient_x, gradient_weight;
    if (context->needs_input_grad(1)) {
      gradient_weight = (g * x * inverse).reshape({-1, x.size(-1)}).sum(0, false, at::kFloat);
    }
    if (context->needs_input_grad(0)) {
      gradient_x = RmsNormInputGradient(g, x, weight, inverse);
    }
    return {gradient_x, gradient_weight, at::Tensor(), at::Tensor()};
  }
};

struct SwiGluFunction : torch::autograd::Function<SwiGluFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gate_up) {
    const at::Tensor whole = gate_up.contiguous();
    context->save_for_backward({whole});
    if (!whole.is_cpu()) return plain::SwiGlu(whole);
    std::vector<std::int64_t> shape = whole.sizes().vec();
    const std::int64_t size = shape.back() /= 2, rows = whole.numel() / (2 * size);
    at::Tensor y = at::empty(shape, whole.options());
    WithRowType(whole.scalar_type(), [&]<typename T>(T) {
      ForRows(rows, 2 * size, [&](std::int64_t first, std::int64_t count) {
        Kernels<T>().swiglu(Read<T>(whole) + 2 * first * size, count, size,
                            Write<T>(y) + first * size);
      });
    });
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    dp::clipping::RefuseSecondDerivative();
    const at::Tensor gate_up = context->get_saved_variables()[0], g = gradients[0].contiguous();
    if (!g.is_cpu()) return {plain::SwiGluGradient(g, gate_up)};
    at::Tensor result = at::empty_like(gate_up);
    const std::int64_t size = g.size(-1);
    WithRowType(gate_up.scalar_type(), [&]<typename T>(T) {
      ForRows(g.numel() / size, 2 * size, [&](std::int64_t first, std::int64_t count) {
        Kernels<T>().swiglu_backward(Read<T>(g) + first * size, Read<T>(gate_up) + 2 * first * size,
                                     count, size, Write<T>(result) + 2 * first * size);
      });
    });
    return {result};
  }
};

}  // namespace

NormalizedRows NormalizeRows(const at::Tensor& x, const at::Tensor& weight, double epsilon,
                             at::ScalarType type) {
  if (!x.is_cpu()) return plain::NormalizeRows(x, weight, epsilon, type);
  const at::Tensor rows = WideRows(x), scale = weight.contiguous();
  const std::int64_t size = x.size(-1);
  std::vector<std::int64_t> shape = x.sizes().vec();
  NormalizedRows result{at::empty(shape, rows.options().dtype(type)), {}};
  shape.back() = 1;
  result.inverse = at::empty(shape, rows.options());
  WithRowType(type, [&]<typename T>(T) {
    ForRows(result.inverse.numel(), size, [&](std::int64_t first, std::int64_t count) {
      Kernels<T>().rms_norm(
          Read<float>(rows) + first * size, Read<float>(scale), static_cast<float>(epsilon), count,
          size, Write<T>(result.y) + first * size, Write<float>(result.inverse) + first);
    });
  });
  return result;
}

at::Tensor RmsNormInputGradient(const at::Tensor& gradient, const at::Tensor& x,
                                const at::Tensor& weight, const at::Tensor& inverse) {
  if (!x.is_cpu()) return plain::RmsNormInputGradient(gradient, x, weight, inverse);
  const at::Tensor rows = WideRows(x), g = gradient.contiguous(), scale = weight.contiguous();
  const std::int64_t size = x.size(-1);
  at::Tensor result = at::empty(x.sizes(), rows.options());
  WithRowType(g.scalar_type(), [&]<typename T>(T) {
    ForRows(inverse.numel(), size, [&](std::int64_t first, std::int64_t count) {
      Kernels<T>().rms_norm_backward(Read<T>(g) + first * size, Read<float>(rows) + first * size,
                                     Read<float>(scale), Read<float>(inverse) + first, count, size,
                                     Write<float>(result) + first * size);
    });
  });
  return result;
}

at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double epsilon,
                   std::optional<at::ScalarType> type) {
  return RmsNormFunction::apply(x, weight, epsilon, type.value_or(x.scalar_type()));
}

at::Tensor SwiGlu(const at::Tensor& gate_up) { return SwiGluFunction::apply(gate_up); }

at::Tensor CrossEntropy(const at::Tensor& scores, const at::Tensor& targets, bool differentiate) {
  CLOISTER_CHECK(scores.is_contiguous() && targets.is_contiguous());
  if (!scores.is_cpu()) return plain::CrossEntropy(scores, targets, differentiate);
  const std::int64_t rows = scores.size(0), size = scores.size(1);
  at::Tensor losses = at::empty({rows}, scores.options().dtype(at::kFloat));
  WithRowType(scores.scalar_type(), [&]<typename T>(T) {
    ForRows(rows, size, [&](std::int64_t first, std::int64_t count) {
      Kernels<T>().cross_entropy(Write<T>(scores) + first * size,
                                 Read<std::int64_t>(targets) + first, count, size, differentiate,
                                 Write<float>(losses) + first);
    });
  });
  return losses;
}

}  // namespace cloister::trainer
