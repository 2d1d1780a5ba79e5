#include "dp/clipping/matrix_gradient.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "dp/clipping/narrow_product.h"

namespace cloister::dp::clipping {
namespace {

// Inner products of fp32 are added up in fp32 over so many terms, and beyond in fp64.
constexpr std::int64_t kInnerTerms = 512;
// Rows of a large gradient are built so many elements at a time, 512 KiB: added while in a cache.
constexpr std::int64_t kPieceElements = std::int64_t{1} << 17;

// Tokens x tokens inner products of one factor, row by row, each off by Gamma32(kInnerTerms) and a
// little times the two tokens' norms.
std::vector<double> NarrowGram(const at::Tensor& factor) {
  std::vector<double> gram(static_cast<std::size_t>(factor.size(0) * factor.size(0)));
  for (std::int64_t start = 0; start < factor.size(1); start += kInnerTerms) {
    const at::Tensor piece =
        factor.narrow(1, start, std::min(kInnerTerms, factor.size(1) - start)).contiguous();
    const at::Tensor products = NarrowProduct(piece, piece);
    const float* from = products.const_data_ptr<float>();
    for (std::size_t i = 0; i < gram.size(); ++i) gram[i] += from[i];
  }
  return gram;
}

at::Tensor TokenNorms(const at::Tensor& x) {
  return at::linalg_vector_norm(x, 2, at::IntArrayRef{1}, /*keepdim=*/false, at::kDouble);
}

double SquaredNorm(const at::Tensor& x) {
  const double norm =
      at::linalg_vector_norm(x, 2, at::OptionalIntArrayRef(), false, at::kDouble).item<double>();
  return norm * norm;
}

}  // namespace

MatrixGradient::MatrixGradient(const at::Tensor& left, const at::Tensor& right, NormMethod method)
    : left_(left.detach().to(at::kFloat)), right_(right.detach().to(at::kFloat)) {
  const at::NoGradGuard no_grad;
  const std::int64_t tokens = left_.size(0), rows = left_.size(1), columns = right_.size(1);
  const bool gram = method == NormMethod::kCheapest ? tokens * (rows + columns) < rows * columns
                                                    : method == NormMethod::kGram;
  const at::Tensor lefts = TokenNorms(left_), rights = TokenNorms(right_);
  size_ = at::dot(lefts, rights).item<double>();
  if (rows * columns <= kWideElements) {
    TakeWideNorm(gram);
    return;
  }
  TakeNarrowNorm(gram);
  // No partial sum of an entry is beyond size_: where that may pass fp32's range, an infinity can
  // stand in Ĝ that the Gram matrices do not show.
  if (!(1.1 * size_ < std::numeric_limits<float>::max())) {
    norm_.squared = std::numeric_limits<double>::infinity();
  }
  // What fp32 loses below its smallest numbers.
  const double least = static_cast<double>(tokens) * 0x1p-149;
  const double left_sum = lefts.sum().item<double>(), right_sum = rights.sum().item<double>();
  norm_.slack += 0x1p-149 * (static_cast<double>(rows) * right_sum * right_sum +
                             static_cast<double>(columns) * left_sum * left_sum);
  norm_.squared_error += 4 * least * least * static_cast<double>(rows * columns);
}

// Products of two fp32 numbers are exact in fp64. The factor 4 leaves room for the rounding of
// size() itself.
void MatrixGradient::TakeWideNorm(bool gram) {
  const at::Tensor left = left_.to(at::kDouble), right = right_.to(at::kDouble);
  if (gram) {
    norm_.squared = at::mm(left, left.t()).mul_(at::mm(right, right.t())).sum().item<double>();
  } else {
    built_ = at::mm(left.t(), right);
    norm_.squared = SquaredNorm(built_);
  }
  const auto t = static_cast<double>(left.size(0));
  const auto rows = static_cast<double>(left.size(1)), columns = static_cast<double>(right.size(1));
  norm_.slack = 4 * Gamma64(t * t + t + rows * columns + rows + columns + 16) * size_ * size_;
}

void MatrixGradient::TakeNarrowNorm(bool gram) {
  const double tokens = static_cast<double>(left_.size(0));
  const double once = 1.01 * Gamma32(tokens + 1) * size_;  // between G and Ĝ, however it is added
  if (gram) {
    const std::vector<double> lefts = NarrowGram(left_), rights = NarrowGram(right_);
    norm_.squared = std::inner_product(lefts.begin(), lefts.end(), rights.begin(), 0.0);
    const double one = 1.01 * Gamma32(static_cast<double>(kInnerTerms));
    norm_.slack = (2 * one + one * one) * size_ * size_;
    norm_.squared_error = once * once;
  } else {
    ForEachNarrowPiece(
        [&](std::int64_t, const at::Tensor& piece) { norm_.squared += SquaredNorm(piece); });
    norm_.slack = 1e-9 * norm_.squared;
    // Built once for the norm and once when it is added.
    norm_.squared_error = 4 * once * once;
  }
}

void MatrixGradient::ForEachNarrowPiece(const RowVisitor& visit) const {
  const std::int64_t rows = left_.size(1);
  const std::int64_t step = std::max<std::int64_t>(1, kPieceElements / right_.size(1));
  for (std::int64_t start = 0; start < rows; start += step) {
    visit(start, at::mm(left_.narrow(1, start, std::min(step, rows - start)).t(), right_));
  }
}

void MatrixGradient::ForEachPiece(const RowVisitor& visit) const {
  const at::NoGradGuard no_grad;
  if (built_.defined()) {
    visit(0, built_);
  } else if (left_.size(1) * right_.size(1) <= kWideElements) {
    visit(0, at::mm(left_.to(at::kDouble).t(), right_.to(at::kDouble)));
  } else {
    ForEachNarrowPiece(visit);
  }
}

}  // namespace cloister::dp::clipping
