#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <span>
#include <variant>

#include "base/check.h"
#include "dp/clipping/norm_bound.h"

namespace cloister::dp::clipping {

// Told of whole rows of a gradient from `row` on, one after the other.
using Numbers = std::variant<std::span<const float>, std::span<const double>>;
using RowVisitor = std::function<void(std::int64_t row, const Numbers& numbers)>;
inline Numbers Fp64Numbers(const at::Tensor& tensor) {
  CLOISTER_CHECK(tensor.is_contiguous());
  return std::span(tensor.const_data_ptr<double>(), static_cast<std::size_t>(tensor.numel()));
}

// How the norm of a matrix's gradient is taken.
//   kInstantiate  by building it
//   kGram         from the two tokens x tokens Gram matrices
//   kCheapest     Gram where tokens * (rows + columns) < rows * columns: then it needs less than
//                 half of the multiply-adds, the matrices being symmetric. Where it would need
//                 somewhat less than all, its looser bound is not worth it.
enum class NormMethod { kCheapest, kInstantiate, kGram };

// The gradient G = sum over t of left[t] right[t]^T of one matrix for one unit, from left [tokens,
// rows] and right [tokens, columns]. Matrices of at most kWideElements (adapters) are worked on in
// fp64, and a gradient that was built for its norm is kept until it is added, in place of its
// factors: activations that are computed again for the backward pass need not all be held. Larger
// matrices are worked on in fp32, in pieces, and nothing of their size is kept.
class MatrixGradient {
 public:
  static constexpr std::int64_t kWideElements = std::int64_t{1} << 16;

  // Factors that are contiguous fp32 are not copied: their values must stay until the last visit.
  MatrixGradient(const at::Tensor& left, const at::Tensor& right, NormMethod method);

  const NormBound& norm() const { return norm_; }
  // sum over t of ‖left[t]‖ ‖right[t]‖: at least ‖G‖.
  double size() const { return size_; }

  // Visits Ĝ in pieces of whole rows. `target` as ForEachRows (token_product.h).
  void ForEachPiece(const RowVisitor& visit, const std::int32_t* target = nullptr) const;

  std::int64_t tokens() const { return tokens_; }
  // fp64 [rows, columns] where it was built for its norm and is kept; else undefined, and the
  // factors are kept.
  const at::Tensor& built() const { return built_; }
  const at::Tensor& left() const { return left_; }
  const at::Tensor& right() const { return right_; }

 private:
  void TakeWideNorm(bool gram);
  void TakeGramNorm();
  void TakeBuiltNorm();
  void BoundErrors(std::span<const double> left_norms, std::span<const double> right_norms);

  std::int64_t tokens_ = 0;
  at::Tensor left_, right_;
  at::Tensor built_;  // fp64 [rows, columns], of a small matrix
  NormBound norm_;
  double size_ = 0;
};

}  // namespace cloister::dp::clipping
