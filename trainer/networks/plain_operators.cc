#include "trainer/networks/plain_operators.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <vector>

namespace cloister::trainer::plain {
namespace {

at::Tensor Wide(const at::Tensor& x) { return x.to(at::kFloat); }

}  // namespace

NormalizedRows NormalizeRows(const at::Tensor& x, const at::Tensor& weight, double epsilon,
                             at::ScalarType type) {
  const at::NoGradGuard no_grad;
  const at::Tensor rows = Wide(x);
  const at::Tensor inverse = rows.square().mean(-1, /*keepdim=*/true).add_(epsilon).rsqrt_();
  return {(rows * inverse).mul_(weight).to(type), inverse};
}

// With n = x * inverse and h = g * weight: (h - n * mean(h * n)) * inverse.
at::Tensor RmsNormInputGradient(const at::Tensor& gradient, const at::Tensor& x,
                                const at::Tensor& weight, const at::Tensor& inverse) {
  const at::NoGradGuard no_grad;
  const at::Tensor n = Wide(x) * inverse, h = Wide(gradient) * weight;
  return (h - n * (h * n).mean(-1, /*keepdim=*/true)).mul_(inverse);
}

at::Tensor SwiGlu(const at::Tensor& gate_up) {
  const at::NoGradGuard no_grad;
  const std::vector<at::Tensor> halves = Wide(gate_up).chunk(2, -1);
  return at::silu(halves[0]).mul_(halves[1]).to(gate_up.scalar_type());
}

at::Tensor SwiGluGradient(const at::Tensor& gradient, const at::Tensor& gate_up) {
  const at::NoGradGuard no_grad;
  const std::vector<at::Tensor> halves = Wide(gate_up).chunk(2, -1);
  const at::Tensor g = Wide(gradient), share = at::sigmoid(halves[0]);
  const at::Tensor slope = share * (halves[0] * (1 - share) + 1);  // of silu
  return at::cat({g * halves[1] * slope, g * halves[0] * share}, -1).to(gate_up.scalar_type());
}

at::Tensor CrossEntropy(const at::Tensor& scores, const at::Tensor& targets, bool differentiate) {
  const at::NoGradGuard no_grad;
  const at::Tensor wide = Wide(scores), target = targets.unsqueeze(1);
  const at::Tensor losses =
      at::log_softmax(wide, -1).gather(1, target).neg_().squeeze(1).contiguous();
  if (differentiate) {
    at::Tensor gradient = at::softmax(wide, -1);
    gradient.scatter_add_(1, target, at::full_like(losses, -1).unsqueeze(1));
    scores.copy_(gradient);
  }
  return losses;
}

at::Tensor Rotated(const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine,
                   bool neighbours, bool back) {
  const at::NoGradGuard no_grad;
  const std::int64_t pairs = cosine.size(-1), still = x.size(-1) - 2 * pairs;
  const at::Tensor turning = Wide(x.narrow(-1, still, 2 * pairs));
  const auto of_pair = [&](std::int64_t which) {
    return neighbours ? turning.slice(-1, which, 2 * pairs, 2)
                      : turning.narrow(-1, which * pairs, pairs);
  };
  const at::Tensor a = of_pair(0), b = of_pair(1), s = back ? sine.neg() : sine;
  const at::Tensor first = a * cosine - b * s, second = b * cosine + a * s;
  const at::Tensor turned =
      neighbours ? at::stack({first, second}, -1).flatten(-2) : at::cat({first, second}, -1);
  return at::cat({x.narrow(-1, 0, still), turned.to(x.scalar_type())}, -1);
}

}  // namespace cloister::trainer::plain
