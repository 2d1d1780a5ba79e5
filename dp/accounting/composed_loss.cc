#include "dp/accounting/composed_loss.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace cloister::dp {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kRelativeMargin = 1e-12;

double LogAdd(double a, double b) {
  const double largest = std::max(a, b);
  if (std::isinf(largest)) return largest;
  return largest + std::log1p(std::exp(std::min(a, b) - largest));
}

}  // namespace

double WorstPlace(double tilt) { return std::exp(-tilt * std::log1p(1 / tilt)) / (tilt + 1); }

ComposedLoss::ComposedLoss(const TiltedLoss& loss, const Scale& scale)
    : scale_(scale), stray_(loss.stray), coarse_(loss.coarse), loss_(loss.loss) {
  CLOISTER_CHECK(!loss_.empty() && scale.tilt > 0);
  const std::size_t size = loss_.size();
  if (size > 1) spacing_ = (loss_.back() - loss_.front()) / static_cast<double>(size - 1);
  lower_.resize(size);
  excess_.resize(size);
  const double fall = std::exp(-scale_.tilt * spacing_);
  const double part = -std::expm1(-spacing_);
  lower_[size - 1] = loss.mass[size - 1];
  for (std::size_t i = size - 1; i-- > 0;) {
    excess_[i] = fall * (excess_[i + 1] + part * lower_[i + 1]);
    lower_[i] = loss.mass[i] + fall * (1 - part) * lower_[i + 1];
  }
  scale_.loss_margin += loss.shift;
}

double ComposedLoss::LogFinite(double epsilon) const {
  double sum = stray_ * WorstPlace(scale_.tilt);
  if (epsilon <= loss_.front()) {
    const double below = loss_.front() - epsilon;
    sum += std::exp(-scale_.tilt * below) * (excess_[0] - std::expm1(-below) * lower_[0]);
  } else if (epsilon < loss_.back()) {
    const auto next = std::upper_bound(loss_.begin(), loss_.end(), epsilon);
    const auto i = static_cast<std::size_t>(next - loss_.begin());
    const double below = loss_[i] - epsilon;
    sum += std::exp(-scale_.tilt * below) * (excess_[i] - std::expm1(-below) * lower_[i]);
  }
  return LogAdd(scale_.log_scale - scale_.tilt * epsilon + std::log(sum),
                std::log(scale_.large.At(epsilon)));
}

double ComposedLoss::LogDelta(double epsilon) const {
  const double lowered = epsilon * (1 - kRelativeMargin) - scale_.loss_margin;
  return std::min(0.0, LogAdd(LogFinite(lowered), std::log(scale_.infinity_mass)));
}

double ComposedLoss::Epsilon(double log_delta) const {
  const double left = std::exp(log_delta) - scale_.infinity_mass;
  if (!(left > 0)) return kInfinity;
  // With stray mass alone δ(ε) falls below any δ: doubling reaches it.
  const double aim = std::log(left);
  double low = loss_.front();
  double high = loss_.back();
  const double until = scale_.large.Until();
  if (low < until && until < high && LogFinite(until) <= aim) high = until;
  if (LogFinite(low) <= aim) {
    high = low;
  } else {
    for (double step = std::max(spacing_, std::abs(high)); LogFinite(high) > aim; step *= 2) {
      low = high;
      high += step;
      if (!std::isfinite(high)) return kInfinity;
    }
    while (high - low > 1e-14 * std::max(std::abs(high), std::abs(low))) {
      const double middle = low + (high - low) / 2;
      if (middle <= low || middle >= high) break;
      (LogFinite(middle) <= aim ? high : low) = middle;
    }
  }
  return std::max(0.0, (high + scale_.loss_margin) * (1 + 2 * kRelativeMargin));
}

double ComposedLoss::Slope(double epsilon) const {
  const double step = std::max(spacing_, 1e-6 * epsilon);
  return (LogFinite(epsilon) - LogFinite(epsilon + step)) / step;
}

double ComposedLoss::Error() const { return stray_ * WorstPlace(scale_.tilt); }

double ComposedLoss::ErrorShare(double epsilon) const {
  const double stray =
      std::log(stray_ * WorstPlace(scale_.tilt)) + scale_.log_scale - scale_.tilt * epsilon;
  return std::exp(stray - LogFinite(epsilon));
}

}  // namespace cloister::dp
