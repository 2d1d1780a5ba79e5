#include "dp/clipping/book_keeping.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "base/check.h"
#include "dp/clipping/clipped_sum_factory.h"

namespace cloister::dp::clipping {

base::Result<BookKeeping> BookKeeping::Create(std::vector<PathShape> paths, std::int64_t parameters,
                                              const Options& options) {
  if (options.unit != PrivacyUnit::kRecord) {
    return base::Fail(base::Code::kUnimplemented, "privacy unit '" +
                                                      std::string(UnitName(options.unit)) +
                                                      "' is not built yet: use 'record'");
  }
  if (!(options.clip_norm > 0) || !std::isfinite(options.clip_norm)) {
    return base::Fail(base::Code::kInvalidArgument,
                      "clip_norm must be positive and finite: put it near the usual gradient norm");
  }
  for (const PathShape& path : paths) {
    CLOISTER_CHECK(path.a_offset >= 0 && path.a_offset + path.rank * path.in <= parameters);
    CLOISTER_CHECK(path.b_offset >= 0 && path.b_offset + path.rank * path.out <= parameters);
  }
  return BookKeeping(std::move(paths), parameters, options);
}

BookKeeping::BookKeeping(std::vector<PathShape> paths, std::int64_t parameters,
                         const Options& options)
    : paths_(std::move(paths)),
      options_(options),
      sum_(at::zeros({parameters}, at::TensorOptions(at::kDouble))) {}

void BookKeeping::Observe(std::int64_t path, PathTensors tensors) {
  CLOISTER_CHECK(path >= 0 && path < static_cast<std::int64_t>(paths_.size()));
  observed_.push_back({path, ExampleGradients(tensors.u, tensors.x, options_.method),
                       ExampleGradients(tensors.g, tensors.h, options_.method)});
}

base::Result<BookKeeping::Norms> BookKeeping::EndMicroBatch() {
  const at::NoGradGuard no_grad;
  std::vector<bool> seen(paths_.size(), false);
  for (const Observed& one : observed_) {
    CLOISTER_CHECK(!seen[one.path]);
    seen[one.path] = true;
  }
  // A path that was not seen would be left out of the norms and of the sum alike.
  CLOISTER_CHECK(observed_.size() == paths_.size() && !observed_.empty());
  at::Tensor squared = at::zeros_like(observed_[0].a.squared_norms());
  at::Tensor slack = at::zeros_like(squared);
  for (const Observed& one : observed_) {
    squared.add_(one.a.squared_norms()).add_(one.b.squared_norms());
    slack.add_(one.a.slack()).add_(one.b.slack());
  }
  const std::int64_t batch = squared.size(0);
  if (units_ + batch > kMaxUnits) {
    return base::Fail(base::Code::kOutOfRange, "more than " + std::to_string(kMaxUnits) +
                                                   " units in one step: lower the sampling rate");
  }
  units_ += batch;

  const at::Tensor bound = squared.clamp_min(0).add_(slack).sqrt_();
  at::Tensor factors = (options_.clip_norm / bound).clamp_max_(1.0);
  // A NaN or an infinity anywhere in an example's factors shows in its bound.
  factors.masked_fill_(bound.isfinite().logical_not(), 0.0);
  for (const Observed& one : observed_) {
    const PathShape& path = paths_[one.path];
    one.a.AddClipped(factors, sum_.narrow(0, path.a_offset, path.rank * path.in));
    one.b.AddClipped(factors, sum_.narrow(0, path.b_offset, path.rank * path.out));
  }
  observed_.clear();

  const at::Tensor computed = squared.clamp_min(0).sqrt_();
  const auto* computed_data = computed.const_data_ptr<double>();
  const auto* bound_data = bound.const_data_ptr<double>();
  return Norms{{computed_data, computed_data + batch}, {bound_data, bound_data + batch}};
}

double BookKeeping::summation_error() const {
  constexpr double kUnitRoundoff = std::numeric_limits<double>::epsilon() / 2;
  constexpr auto kUnits = static_cast<double>(kMaxUnits);
  return options_.clip_norm * kUnits * (kUnits + 8) * kUnitRoundoff;
}

ClippedSum BookKeeping::Finish() && {
  CLOISTER_CHECK(observed_.empty());
  const auto* data = sum_.const_data_ptr<double>();
  return ClippedSumFactory::Make(std::vector<double>(data, data + sum_.numel()), options_.clip_norm,
                                 summation_error(), options_.unit, options_.neighbours);
}

}  // namespace cloister::dp::clipping
