#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

#include "dp/clipping/norm_bound.h"

namespace cloister::dp::clipping {

// Told of contiguous rows of a matrix from `row` on.
using RowVisitor = std::function<void(std::int64_t row, const at::Tensor& piece)>;

// How the norm of a matrix's gradient is taken.
//   kInstantiate  by building it
//   kGram         from the two tokens x tokens Gram matrices
//   kCheapest     Gram where tokens * (rows + columns) < rows * columns: then it needs fewer
//                 multiply-adds
enum class NormMethod { kCheapest, kInstantiate, kGram };

// The gradient G = sum over t of left[t] right[t]^T of one matrix for one unit, from left [tokens,
// rows] and right [tokens, columns]. Matrices of at most kWideElements (adapters) are worked on in
// fp64, and a gradient that was built for its norm is kept until it is added. Larger ones are
// worked on in fp32, in pieces, and nothing of their size is kept.
class MatrixGradient {
 public:
  static constexpr std::int64_t kWideElements = std::int64_t{1} << 17;

  MatrixGradient(const at::Tensor& left, const at::Tensor& right, NormMethod method);

  const NormBound& norm() const { return norm_; }
  // sum over t of ‖left[t]‖ ‖right[t]‖: at least ‖G‖.
  double size() const { return size_; }

  // Visits Ĝ in pieces of whole rows, fp32 or fp64.
  void ForEachPiece(const RowVisitor& visit) const;

  const at::Tensor& left() const { return left_; }
  const at::Tensor& right() const { return right_; }

 private:
  void TakeWideNorm(bool gram);
  void TakeNarrowNorm(bool gram);
  void ForEachNarrowPiece(const RowVisitor& visit) const;

  at::Tensor left_, right_;
  at::Tensor built_;  // fp64 [rows, columns], of a small matrix
  NormBound norm_;
  double size_ = 0;
};

}  // namespace cloister::dp::clipping
