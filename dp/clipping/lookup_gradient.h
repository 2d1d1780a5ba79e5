#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "dp/clipping/matrix_gradient.h"
#include "dp/clipping/norm_bound.h"

namespace cloister::dp::clipping {

// The gradient of an embedding for one unit: values[t] added to row ids[t], in fp64. Only the rows
// that the unit reads are built.
class LookupGradient {
 public:
  LookupGradient(const at::Tensor& ids, const at::Tensor& values);  // [tokens], [tokens, columns]

  const NormBound& norm() const { return norm_; }
  // What ‖this + other‖² has beyond both squares, 2 <this, other>, for an embedding whose matrix is
  // the head as well; slack and all.
  NormBound Cross(const MatrixGradient& other) const;

  // Visits the rows of Ĝ that the unit reads, each alone: fp64 [columns].
  void ForEachPiece(const RowVisitor& visit) const;

 private:
  at::Tensor ids_;    // i64 [n], distinct
  at::Tensor built_;  // fp64 [n, columns]
  NormBound norm_;
};

}  // namespace cloister::dp::clipping
