#include "dp/clipping/book_keeping.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <variant>

#include "base/check.h"
#include "dp/clipping/clipped_sum_factory.h"
#include "dp/clipping/unit_gradient.h"
#include "dp/mechanism/lattice_rounding.h"

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

// One parameter's numbers are added by one thread at a time.
struct BookKeeping::Guards {
  explicit Guards(std::size_t parameters) : parameter(parameters) {}
  std::vector<std::mutex> parameter;
  std::mutex count;
  std::mutex buffer;
};

base::Result<BookKeeping> BookKeeping::Create(std::vector<ParameterShape> shapes,
                                              const Options& options, LatticeSum spare) {
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
  BookKeeping sum(std::move(shapes), parameters, groups, options, std::move(spare));
  if (options.spacing == 0) sum.options_.spacing = sum.sensitivity() * kFineSpacing;
  if (!(std::isfinite(options.spacing) && options.spacing >= 0 &&
        sum.sensitivity() <= sum.options_.spacing * LatticeSum::kLargestSummand)) {
    return base::Fail(base::Code::kInvalidArgument,
                      "the lattice that gradients are rounded to must have a spacing of at least "
                      "clip_norm / 2^26");
  }
  return sum;
}

BookKeeping::BookKeeping(std::vector<ParameterShape> shapes, std::int64_t parameters,
                         std::int64_t groups, const Options& options, LatticeSum spare)
    : shapes_(std::make_shared<const std::vector<ParameterShape>>(std::move(shapes))),
      parameters_(parameters),
      groups_(groups),
      options_(options),
      sum_(parameters + (options.count_weight > 0 ? 1 : 0), std::move(spare)),
      guards_(std::make_shared<Guards>(shapes_->size())) {}

std::unique_lock<std::mutex> BookKeeping::TakeTurn() { return std::unique_lock(guards_->buffer); }

base::Status BookKeeping::Count(double bound) {
  const std::lock_guard lock(guards_->count);
  if (units_ == kMaxUnits) {
    return base::Fail(base::Code::kOutOfRange, "more than " + std::to_string(kMaxUnits) +
                                                   " units in one step: lower the sampling rate");
  }
  ++units_;
  if (options_.count_weight > 0 && std::isfinite(bound)) {
    const double half = options_.count_weight / 2;
    const double part = bound <= options_.rule.clip_norms[0] ? half : -half;
    sum_.AddRounded(parameters_, std::span(&part, 1), 1 / options_.spacing);
  }
  return {};
}

void BookKeeping::Add(const UnitGradient& gradient, std::span<const double> factors) {
  gradient.ForEachPiece(
      factors,
      [this](std::size_t parameter, std::int64_t offset, const Numbers& numbers, double factor) {
        AddPiece(parameter, offset, numbers, factor);
      },
      sum_.Memory());
}

void BookKeeping::Add(const at::Tensor& gradient, std::span<const double> factors) {
  for (std::size_t i = 0; i < shapes_->size(); ++i) {
    const ParameterShape& shape = (*shapes_)[i];
    const double factor = factors[static_cast<std::size_t>(shape.group)];
    if (factor == 0) continue;
    AddPiece(i, shape.offset, Fp64Numbers(gradient.narrow(0, shape.offset, shape.elements())),
             factor);
  }
}

void BookKeeping::AddPiece(std::size_t parameter, std::int64_t offset, const Numbers& numbers,
                           double factor) {
  const double scale = factor / options_.spacing;
  const std::lock_guard lock(guards_->parameter[parameter]);
  std::visit([&](auto values) { sum_.AddRounded(offset, values, scale); }, numbers);
}

double BookKeeping::sensitivity() const {
  return std::hypot(options_.normalized ? 1.0 : options_.rule.Sensitivity(),
                    options_.count_weight / 2);
}

double BookKeeping::excess() const {
  return LatticeExcess(sensitivity(), options_.spacing, sum_.dimension());
}

ClippedSum BookKeeping::Finish() && {
  const double excess = this->excess();
  return ClippedSumFactory::Make(std::move(sum_), options_.spacing, sensitivity(), excess,
                                 options_.unit, options_.neighbours, units_);
}

}  // namespace cloister::dp::clipping
