#include "dp/clipping/unit_gradient.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/check.h"

namespace cloister::dp::clipping {

UnitGradient::Part& UnitGradient::PartOf(std::int64_t parameter) {
  CLOISTER_CHECK(parameter >= 0 && parameter < static_cast<std::int64_t>(parts_.size()));
  return parts_[static_cast<std::size_t>(parameter)];
}

void UnitGradient::ObserveMatrix(std::int64_t parameter, const at::Tensor& left,
                                 const at::Tensor& right) {
  Part& part = PartOf(parameter);
  const ParameterShape& shape = (*shapes_)[static_cast<std::size_t>(parameter)];
  CLOISTER_CHECK(!part.matrix && left.size(1) == shape.rows && right.size(1) == shape.columns);
  CLOISTER_CHECK(left.size(0) == right.size(0));
  part.matrix.emplace(left, right, method_);
}

void UnitGradient::ObserveLookup(std::int64_t parameter, const at::Tensor& ids,
                                 const at::Tensor& values) {
  Part& part = PartOf(parameter);
  const ParameterShape& shape = (*shapes_)[static_cast<std::size_t>(parameter)];
  CLOISTER_CHECK(!part.lookup && values.size(1) == shape.columns && ids.size(0) == values.size(0));
  part.lookup.emplace(ids, values);
}

void UnitGradient::ObserveVector(std::int64_t parameter, const at::Tensor& values) {
  Part& part = PartOf(parameter);
  CLOISTER_CHECK(!part.vector &&
                 values.size(1) == (*shapes_)[static_cast<std::size_t>(parameter)].elements());
  part.vector.emplace(values);
}

bool UnitGradient::empty() const {
  return std::none_of(parts_.begin(), parts_.end(),
                      [](const Part& part) { return part.matrix || part.lookup || part.vector; });
}

std::vector<NormBound> UnitGradient::Norms(std::int64_t groups) const {
  std::vector<NormBound> norms(static_cast<std::size_t>(groups));
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    NormBound& norm = norms[static_cast<std::size_t>((*shapes_)[i].group)];
    const Part& part = parts_[i];
    if (part.matrix) norm += part.matrix->norm();
    if (part.lookup) norm += part.lookup->norm();
    if (part.vector) norm += part.vector->norm();
    if (part.matrix && part.lookup) norm += part.lookup->Cross(*part.matrix);
  }
  return norms;
}

void UnitGradient::ForEachPiece(std::span<const double> factors, const Visitor& visit,
                                const std::int32_t* target) const {
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const ParameterShape& shape = (*shapes_)[i];
    const double factor = factors[static_cast<std::size_t>(shape.group)];
    if (factor == 0) continue;  // also what keeps a non-finite unit out: 0 * NaN is NaN
    const RowVisitor of_rows = [&](std::int64_t row, const Numbers& numbers) {
      visit(i, shape.offset + row * shape.columns, numbers, factor);
    };
    const Part& part = parts_[i];
    if (part.matrix) {
      part.matrix->ForEachPiece(of_rows, target == nullptr ? nullptr : target + shape.offset);
    }
    if (part.lookup) part.lookup->ForEachPiece(of_rows);
    if (part.vector) of_rows(0, Fp64Numbers(part.vector->built()));
  }
}

void UnitGradient::Clear() {
  for (Part& part : parts_) part = {};
}

}  // namespace cloister::dp::clipping
