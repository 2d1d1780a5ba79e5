#include "dp/clipping/unit_clipper.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <variant>

#include "base/check.h"

namespace cloister::dp::clipping {
namespace {

// Up to so many parameters, 64 MiB in fp64, each clipper has a buffer of its own.
constexpr std::int64_t kOwnBuffer = std::int64_t{1} << 23;

}  // namespace

UnitClipper::UnitClipper(BookKeeping& sum) : sum_(sum), unit_(sum.shapes_, sum.options_.method) {}

void UnitClipper::ObserveMatrix(std::int64_t parameter, const at::Tensor& left,
                                const at::Tensor& right) {
  unit_.ObserveMatrix(parameter, left, right);
}

void UnitClipper::ObserveLookup(std::int64_t parameter, const at::Tensor& ids,
                                const at::Tensor& values) {
  unit_.ObserveLookup(parameter, ids, values);
}

void UnitClipper::ObserveVector(std::int64_t parameter, const at::Tensor& values) {
  unit_.ObserveVector(parameter, values);
}

void UnitClipper::EndPart() {
  const at::NoGradGuard no_grad;
  CLOISTER_CHECK(sum_.options_.unit == PrivacyUnit::kUser);
  if (!buffered_ && sum_.parameters_ > kOwnBuffer) {
    turn_ = sum_.TakeTurn();
    buffer_ = sum_.buffer_;
  }
  if (!buffer_.defined()) {
    buffer_ = at::empty({sum_.parameters_}, at::TensorOptions(at::kDouble));
    if (turn_) sum_.buffer_ = buffer_;
  }
  if (!buffered_) buffer_.zero_();
  buffered_ = true;
  const std::vector<double> whole(static_cast<std::size_t>(sum_.groups_), 1.0);
  double* const sum = buffer_.mutable_data_ptr<double>();
  unit_.ForEachPiece(whole, [&](std::size_t, std::int64_t offset, const Numbers& numbers, double) {
    std::visit(
        [&](auto values) {
          std::transform(values.begin(), values.end(), sum + offset, sum + offset,
                         [](double value, double so_far) { return so_far + value; });
        },
        numbers);
  });
  unit_.Clear();
}

// What is added is the buffer itself: its norm has the roundings of a sum of squares alone.
std::vector<NormBound> UnitClipper::BufferNorms() const {
  std::vector<NormBound> norms(static_cast<std::size_t>(sum_.groups_));
  for (const ParameterShape& shape : *sum_.shapes_) {
    const double norm =
        at::linalg_vector_norm(buffer_.narrow(0, shape.offset, shape.elements())).item<double>();
    norms[static_cast<std::size_t>(shape.group)] += NormBound::Of(norm, shape.elements());
  }
  return norms;
}

base::Result<UnitClipper::Norm> UnitClipper::EndUnit() {
  const at::NoGradGuard no_grad;
  if (buffered_) EndPart();
  const std::vector<NormBound> norms = buffered_ ? BufferNorms() : unit_.Norms(sum_.groups_);
  NormBound whole;
  std::vector<double> bounds;
  for (const NormBound& norm : norms) {
    whole += norm;
    bounds.push_back(norm.upper());
  }
  const double bound = whole.upper();
  const ClipRule& rule = sum_.options_.rule;
  std::vector<double> factors = rule.Factors(bounds);
  if (sum_.options_.normalized) {
    for (double& factor : factors) factor /= rule.clip_norms[0];
  }
  CLOISTER_RETURN_IF_ERROR(sum_.Count(bound));
  if (buffered_) {
    sum_.Add(buffer_, factors);
  } else {
    sum_.Add(unit_, factors);
  }
  buffered_ = false;
  if (turn_) {
    buffer_.reset();
    turn_.unlock();
  }
  unit_.Clear();
  return Norm{whole.computed(), bound};
}

}  // namespace cloister::dp::clipping
