#include "dp/clipping/book_keeping.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "base/check.h"
#include "dp/clipping/clipped_sum_factory.h"

namespace cloister::dp::clipping {
namespace {

// Parameters in all; a CHECK fails where some overlap.
std::int64_t CountParameters(std::vector<ParameterShape> shapes) {
  std::sort(shapes.begin(), shapes.end(),
            [](const auto& a, const auto& b) { return a.offset < b.offset; });
  std::int64_t end = 0;
  for (const ParameterShape& shape : shapes) {
    CLOISTER_CHECK(shape.offset == end && shape.rows > 0 && shape.columns > 0);
    end += shape.elements();
  }
  return end;
}

}  // namespace

base::Result<BookKeeping> BookKeeping::Create(std::vector<ParameterShape> shapes,
                                              const Options& options) {
  std::int64_t groups = 1;
  for (ParameterShape& shape : shapes) {
    CLOISTER_CHECK(shape.group >= 0);
    if (options.rule.style != ClipRule::Style::kPerGroup) shape.group = 0;
    groups = std::max(groups, shape.group + 1);
  }
  CLOISTER_RETURN_IF_ERROR(options.rule.Validate(groups));
  if ((options.count_weight != 0 || options.normalized) &&
      options.rule.style != ClipRule::Style::kFlat) {
    return base::Fail(base::Code::kInvalidArgument,
                      "an adaptive clip norm goes with flat clipping alone");
  }
  CLOISTER_CHECK(options.count_weight >= 0 && std::isfinite(options.count_weight));
  const std::int64_t parameters = CountParameters(shapes);
  return BookKeeping(std::move(shapes), parameters, groups, options);
}

BookKeeping::BookKeeping(std::vector<ParameterShape> shapes, std::int64_t parameters,
                         std::int64_t groups, const Options& options)
    : shapes_(std::make_shared<const std::vector<ParameterShape>>(std::move(shapes))),
      parameters_(parameters),
      groups_(groups),
      options_(options),
      unit_(shapes_, options.method),
      sum_(at::zeros({parameters + (options.count_weight > 0 ? 1 : 0)},
                     at::TensorOptions(at::kDouble))) {}

void BookKeeping::ObserveMatrix(std::int64_t parameter, const at::Tensor& left,
                                const at::Tensor& right) {
  unit_.ObserveMatrix(parameter, left, right);
}

void BookKeeping::ObserveLookup(std::int64_t parameter, const at::Tensor& ids,
                                const at::Tensor& values) {
  unit_.ObserveLookup(parameter, ids, values);
}

void BookKeeping::ObserveVector(std::int64_t parameter, const at::Tensor& values) {
  unit_.ObserveVector(parameter, values);
}

void BookKeeping::EndPart() {
  const at::NoGradGuard no_grad;
  CLOISTER_CHECK(options_.unit == PrivacyUnit::kUser);
  if (!buffer_.defined()) buffer_ = at::empty({parameters_}, at::TensorOptions(at::kDouble));
  if (!buffered_) buffer_.zero_();
  buffered_ = true;
  unit_.AddTo(buffer_, std::vector<double>(static_cast<std::size_t>(groups_), 1.0));
  unit_.Clear();
}

// What is added is the buffer itself: its norm has the roundings of a sum of squares alone.
std::vector<NormBound> BookKeeping::BufferNorms() const {
  std::vector<NormBound> norms(static_cast<std::size_t>(groups_));
  for (const ParameterShape& shape : *shapes_) {
    const double norm =
        at::linalg_vector_norm(buffer_.narrow(0, shape.offset, shape.elements())).item<double>();
    norms[static_cast<std::size_t>(shape.group)] += NormBound::Of(norm, shape.elements());
  }
  return norms;
}

base::Result<BookKeeping::Norm> BookKeeping::EndUnit() {
  const at::NoGradGuard no_grad;
  if (units_ == kMaxUnits) {
    return base::Fail(base::Code::kOutOfRange, "more than " + std::to_string(kMaxUnits) +
                                                   " units in one step: lower the sampling rate");
  }
  ++units_;
  if (buffered_) EndPart();
  const std::vector<NormBound> norms = buffered_ ? BufferNorms() : unit_.Norms(groups_);
  NormBound whole;
  std::vector<double> bounds;
  for (const NormBound& norm : norms) {
    whole += norm;
    bounds.push_back(norm.upper());
  }
  const double bound = whole.upper();
  std::vector<double> factors = options_.rule.Factors(bounds);
  if (options_.normalized) {
    for (double& factor : factors) factor /= options_.rule.clip_norms[0];
  }
  if (buffered_) {
    for (const ParameterShape& shape : *shapes_) {
      const double factor = factors[static_cast<std::size_t>(shape.group)];
      if (factor == 0) continue;
      sum_.narrow(0, shape.offset, shape.elements())
          .add_(buffer_.narrow(0, shape.offset, shape.elements()), factor);
    }
  } else {
    unit_.AddTo(sum_.narrow(0, 0, parameters_), factors);
  }
  if (options_.count_weight > 0 && std::isfinite(bound)) {
    const double half = options_.count_weight / 2;
    sum_[parameters_] += bound <= options_.rule.clip_norms[0] ? half : -half;
  }
  buffered_ = false;
  unit_.Clear();
  return Norm{whole.computed(), bound};
}

double BookKeeping::sensitivity() const {
  return std::hypot(options_.normalized ? 1.0 : options_.rule.Sensitivity(),
                    options_.count_weight / 2);
}

double BookKeeping::summation_error() const {
  constexpr double kUnitRoundoff = std::numeric_limits<double>::epsilon() / 2;
  constexpr auto kUnits = static_cast<double>(kMaxUnits);
  return sensitivity() * kUnits * (kUnits + 8) * kUnitRoundoff;
}

ClippedSum BookKeeping::Finish() && {
  CLOISTER_CHECK(unit_.empty() && !buffered_);
  const auto* data = sum_.const_data_ptr<double>();
  return ClippedSumFactory::Make(std::vector<double>(data, data + sum_.numel()), sensitivity(),
                                 summation_error(), options_.unit, options_.neighbours);
}

}  // namespace cloister::dp::clipping
