#include "dp/clipping/lookup_gradient.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <span>
#include <tuple>

namespace cloister::dp::clipping {

LookupGradient::LookupGradient(const at::Tensor& ids, const at::Tensor& values) {
  const at::NoGradGuard no_grad;
  at::Tensor row_of;
  std::tie(ids_, row_of) = at::_unique(ids.cpu(), /*sorted=*/true, /*return_inverse=*/true);
  built_ = at::zeros({ids_.size(0), values.size(1)}, at::TensorOptions(at::kDouble))
               .index_add_(0, row_of, values.detach().cpu().to(at::kDouble));
  norm_ = NormBound::Of(at::linalg_vector_norm(built_).item<double>(), built_.numel());
}

NormBound LookupGradient::Cross(const MatrixGradient& other) const {
  const at::NoGradGuard no_grad;
  NormBound cross;
  double terms = 0;  // beside which each product of the sum is rounded
  if (other.built().defined()) {
    cross.squared = 2 * (other.built().index_select(0, ids_) * built_).sum().item<double>();
    terms = static_cast<double>(built_.numel() + other.tokens());
  } else {
    // <E, sum of l r^T> = sum over rows i and tokens t of l[t][ids[i]] (E[i] . r[t]).
    const at::Tensor left = other.left().index_select(1, ids_).to(at::kDouble);  // [tokens, n]
    const at::Tensor inner = at::mm(other.right().to(at::kDouble), built_.t());  // [tokens, n]
    cross.squared = 2 * (left * inner).sum().item<double>();
    terms = static_cast<double>(built_.size(1) + left.numel());
  }
  // The other's norm may be that of a gradient as far from the exact one as its error.
  cross.slack = std::sqrt(norm_.squared) * (8 * Gamma64(terms + 8) * other.size() +
                                            2.01 * std::sqrt(other.norm().squared_error));
  return cross;
}

void LookupGradient::ForEachPiece(const RowVisitor& visit) const {
  const std::int64_t* rows = ids_.const_data_ptr<std::int64_t>();
  const std::int64_t columns = built_.size(1);
  const std::span numbers(built_.const_data_ptr<double>(),
                          static_cast<std::size_t>(built_.numel()));
  for (std::int64_t i = 0; i < ids_.size(0); ++i) {
    visit(rows[i], numbers.subspan(static_cast<std::size_t>(i * columns),
                                   static_cast<std::size_t>(columns)));
  }
}

}  // namespace cloister::dp::clipping
