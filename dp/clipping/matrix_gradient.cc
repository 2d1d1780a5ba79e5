#include "dp/clipping/matrix_gradient.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "dp/clipping/token_product.h"

namespace cloister::dp::clipping {
namespace {

// On the CPU, wherever the passes are.
at::Tensor InFp32(const at::Tensor& told) {
  return told.detach().to(at::kCPU, at::kFloat).contiguous();
}

// Each token's norm, or a little more.
std::vector<double> TokenNorms(const at::Tensor& rows) {
  const at::Tensor norms =
      at::linalg_vector_norm(rows, 2, at::IntArrayRef{1}, /*keepdim=*/false, at::kDouble);
  const auto* from = norms.const_data_ptr<double>();
  return {from, from + norms.numel()};
}

// The same from what inner products in fp32 make of it: sums of squares, each relatively off by
// Gamma32(kGramTerms) at most, and what is lost below fp32's smallest numbers.
std::vector<double> TokenNorms(std::span<const double> gram, const at::Tensor& rows) {
  const auto tokens = static_cast<std::size_t>(rows.size(0));
  const double lost = 0x1p-149 * static_cast<double>(rows.size(1));
  std::vector<double> norms(tokens);
  for (std::size_t t = 0; t < tokens; ++t) {
    norms[t] = std::sqrt(gram[t * (tokens + 1)] * (1 + 2 * Gamma32(kGramTerms)) + lost);
  }
  return norms;
}

double Sum(std::span<const double> x) { return std::accumulate(x.begin(), x.end(), 0.0); }

double Dot(std::span<const double> x, std::span<const double> y) {
  return std::inner_product(x.begin(), x.end(), y.begin(), 0.0);
}

double SquaredNorm(const at::Tensor& x) {
  const double norm =
      at::linalg_vector_norm(x, 2, at::OptionalIntArrayRef(), false, at::kDouble).item<double>();
  return norm * norm;
}

double SquaredNorm(std::span<const float> x) {
  return std::inner_product(x.begin(), x.end(), x.begin(), 0.0, std::plus<>(),
                            [](double a, double b) { return a * b; });
}

// Of two symmetric matrices whose upper parts are left out.
double InnerProduct(std::span<const double> a, std::span<const double> b, std::int64_t size) {
  double diagonal = 0, below = 0;
  for (std::int64_t i = 0; i < size; ++i) {
    const double *a_row = a.data() + i * size, *b_row = b.data() + i * size;
    below = std::inner_product(a_row, a_row + i, b_row, below);
    diagonal += a_row[i] * b_row[i];
  }
  return diagonal + 2 * below;
}

}  // namespace

MatrixGradient::MatrixGradient(const at::Tensor& left, const at::Tensor& right, NormMethod method)
    : tokens_(left.size(0)), left_(InFp32(left)), right_(InFp32(right)) {
  const at::NoGradGuard no_grad;
  const std::int64_t tokens = left_.size(0), rows = left_.size(1), columns = right_.size(1);
  const bool gram = method == NormMethod::kCheapest ? tokens * (rows + columns) < rows * columns
                                                    : method == NormMethod::kGram;
  if (rows * columns <= kWideElements) {
    TakeWideNorm(gram);
  } else if (gram) {
    TakeGramNorm();
  } else {
    TakeBuiltNorm();
  }
}

// Products of two fp32 numbers are exact in fp64. The factor 4 leaves room for the rounding of
// size() itself.
void MatrixGradient::TakeWideNorm(bool gram) {
  const at::Tensor left = left_.to(at::kDouble), right = right_.to(at::kDouble);
  size_ = Dot(TokenNorms(left), TokenNorms(right));
  if (gram) {
    norm_.squared = at::mm(left, left.t()).mul_(at::mm(right, right.t())).sum().item<double>();
  } else {
    built_ = at::mm(left.t(), right);
    norm_.squared = SquaredNorm(built_);
  }
  const auto t = static_cast<double>(left.size(0));
  const auto rows = static_cast<double>(left.size(1)), columns = static_cast<double>(right.size(1));
  norm_.slack = 4 * Gamma64(t * t + t + rows * columns + rows + columns + 16) * size_ * size_;
  if (!built_.defined()) return;
  left_.reset();
  right_.reset();
}

void MatrixGradient::TakeGramNorm() {
  const std::vector<double> lefts = TokenGram(ViewOf(left_)), rights = TokenGram(ViewOf(right_));
  BoundErrors(TokenNorms(lefts, left_), TokenNorms(rights, right_));
  const double one = 1.01 * Gamma32(kGramTerms);
  norm_.squared += InnerProduct(lefts, rights, left_.size(0));
  norm_.slack += (2 * one + one * one) * size_ * size_;
}

void MatrixGradient::TakeBuiltNorm() {
  BoundErrors(TokenNorms(left_), TokenNorms(right_));
  double squared = 0;
  ForEachRows(ViewOf(left_), ViewOf(right_),
              [&](std::int64_t, std::span<const float> rows) { squared += SquaredNorm(rows); });
  norm_.squared += squared;
  norm_.slack += 1e-9 * squared;
  // Built once for the norm and once when it is added: the same bits, which no claim leans on.
  norm_.squared_error *= 4;
}

// What a large matrix's gradient in fp32 may be off by, however it is added up.
void MatrixGradient::BoundErrors(std::span<const double> left_norms,
                                 std::span<const double> right_norms) {
  size_ = Dot(left_norms, right_norms);
  // No partial sum of an entry is beyond size_: where that may pass fp32's range, an infinity can
  // stand in Ĝ that the Gram matrices do not show.
  if (!(1.1 * size_ < std::numeric_limits<float>::max())) {
    norm_.squared = std::numeric_limits<double>::infinity();
  }
  const auto tokens = static_cast<double>(left_.size(0));
  const auto rows = static_cast<double>(left_.size(1));
  const auto columns = static_cast<double>(right_.size(1));
  const double once = 1.01 * Gamma32(tokens + 1) * size_;  // between G and Ĝ
  // What fp32 loses below its smallest numbers.
  const double lost = 2 * tokens * 0x1p-149 * std::sqrt(rows * columns);
  const double left_sum = Sum(left_norms), right_sum = Sum(right_norms);
  norm_.slack = 0x1p-149 * (rows * right_sum * right_sum + columns * left_sum * left_sum);
  norm_.squared_error = (once + lost) * (once + lost);
}

void MatrixGradient::ForEachPiece(const RowVisitor& visit, const std::int32_t* target) const {
  const at::NoGradGuard no_grad;
  if (built_.defined()) {
    visit(0, Fp64Numbers(built_));
  } else if (left_.size(1) * right_.size(1) <= kWideElements) {  // its norm was a Gram matrix's
    visit(0, Fp64Numbers(at::mm(left_.to(at::kDouble).t(), right_.to(at::kDouble))));
  } else {
    ForEachRows(ViewOf(left_), ViewOf(right_), visit, target);
  }
}

}  // namespace cloister::dp::clipping
