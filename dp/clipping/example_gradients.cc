#include "dp/clipping/example_gradients.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <limits>

namespace cloister::dp::clipping {
namespace {

bool ChooseGram(NormMethod method, std::int64_t tokens, std::int64_t rows, std::int64_t columns) {
  if (method != NormMethod::kCheapest) return method == NormMethod::kGram;
  return tokens * (rows + columns) < rows * columns;
}

// tokens x tokens inner products of one factor, fp64 [batch, tokens, tokens].
at::Tensor Gram(const at::Tensor& factor) { return at::bmm(factor, factor.transpose(1, 2)); }

}  // namespace

double ExampleGradients::EtaSquared(std::int64_t tokens, std::int64_t rows, std::int64_t columns) {
  constexpr double kUnitRoundoff = std::numeric_limits<double>::epsilon() / 2;
  const auto t = static_cast<double>(tokens);
  return 4 * (t * t + t + static_cast<double>(rows * columns + rows + columns) + 16) *
         kUnitRoundoff;
}

ExampleGradients::ExampleGradients(const at::Tensor& left, const at::Tensor& right,
                                   NormMethod method) {
  const at::NoGradGuard no_grad;
  const std::int64_t tokens = left.size(1), rows = left.size(2), columns = right.size(2);
  const at::Tensor left64 = left.detach().to(at::kDouble);
  const at::Tensor right64 = right.detach().to(at::kDouble);
  if (ChooseGram(method, tokens, rows, columns)) {
    left_ = left.detach();
    right_ = right.detach();
    squared_norms_ = Gram(left64).mul_(Gram(right64)).sum({1, 2});
  } else {
    gradients_ = at::bmm(left64.transpose(1, 2), right64);
    squared_norms_ = gradients_.flatten(1).square().sum(1);
  }
  const at::Tensor size = at::linalg_vector_norm(left64, 2, at::IntArrayRef{2})
                              .mul_(at::linalg_vector_norm(right64, 2, at::IntArrayRef{2}))
                              .sum(1);
  slack_ = size.square().mul_(EtaSquared(tokens, rows, columns));
}

void ExampleGradients::AddClipped(const at::Tensor& factors, at::Tensor sum) const {
  const at::NoGradGuard no_grad;
  const bool gram = left_.defined();
  for (std::int64_t b = 0; b < factors.size(0); ++b) {
    const double factor = factors[b].item<double>();
    if (factor == 0) continue;  // also what keeps a non-finite example out: 0 * NaN is NaN
    const at::Tensor gradient =
        gram ? at::matmul(left_[b].to(at::kDouble).t(), right_[b].to(at::kDouble)) : gradients_[b];
    sum.view({gradient.size(0), gradient.size(1)}).add_(gradient, factor);
  }
}

}  // namespace cloister::dp::clipping
