#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "dp/clipping/gradient_observer.h"
#include "dp/clipping/lookup_gradient.h"
#include "dp/clipping/matrix_gradient.h"
#include "dp/clipping/norm_bound.h"
#include "dp/clipping/parameter_shape.h"
#include "dp/clipping/vector_gradient.h"

namespace cloister::dp::clipping {

// The gradient of all parameters for one unit, gathered from one backward pass. A matrix may be
// told of once, looked up once, or both (a tied embedding and head); a vector once.
class UnitGradient : public GradientObserver {
 public:
  UnitGradient(std::shared_ptr<const std::vector<ParameterShape>> shapes, NormMethod method)
      : shapes_(std::move(shapes)), method_(method), parts_(shapes_->size()) {}

  void ObserveMatrix(std::int64_t parameter, const at::Tensor& left,
                     const at::Tensor& right) override;
  void ObserveLookup(std::int64_t parameter, const at::Tensor& ids,
                     const at::Tensor& values) override;
  void ObserveVector(std::int64_t parameter, const at::Tensor& values) override;

  bool empty() const;
  // Of the parameters of each group, as ForEachPiece gives them.
  std::vector<NormBound> Norms(std::int64_t groups) const;
  // Visits the gradient in pieces: the numbers from `offset` on of the flat vector, to be
  // multiplied by factors[group]. A looked-up row of a matrix is a piece beside the matrix's. A
  // factor of zero leaves its group out, whatever it holds.
  using Visitor = std::function<void(std::size_t parameter, std::int64_t offset,
                                     const Numbers& numbers, double factor)>;
  // `target`, if any: where the visitor will write four bytes for each number of the flat vector.
  void ForEachPiece(std::span<const double> factors, const Visitor& visit,
                    const std::int32_t* target = nullptr) const;
  void Clear();

 private:
  struct Part {
    std::optional<MatrixGradient> matrix;
    std::optional<LookupGradient> lookup;
    std::optional<VectorGradient> vector;
  };
  Part& PartOf(std::int64_t parameter);

  std::shared_ptr<const std::vector<ParameterShape>> shapes_;
  NormMethod method_;
  std::vector<Part> parts_;
};

}  // namespace cloister::dp::clipping
