#include "dp/accounting/large_losses.h"

#include <algorithm>
#include <cmath>

#include "dp/accounting/tilted_loss.h"

namespace cloister::dp {
namespace {

constexpr int kMostWidenings = 8;
constexpr double kRounding = 4e-13;  // of quadrature and sums

// Bounds by how much E[e^{-R}] - E[(e^{-R} - e^x)₊] may be below 1, R being the composition's loss.
// Of steps whose loss is below -x the union bound takes all; of what is left, for any a >= 0,
// E[(e^{-R} - e^x)₊] <= E[e^{-(1+a) R}] e^{-a x}.
double DoubtAt(double x, std::span<const double> counts, std::span<const PrivacyLoss> steps) {
  double missing = 0;
  for (std::size_t k = 0; k < counts.size(); ++k) {
    double excess = 0;  // of Q's mass over P's
    double size = 0;
    double low = 0;  // Q's mass of low losses
    for (std::size_t i = 0; i < steps[k].loss.size(); ++i) {
      const double loss = steps[k].loss[i];
      const double one = steps[k].mass[i] * std::expm1(-loss);
      excess += one;
      size += std::abs(one);
      if (loss < -x) low += steps[k].mass[i] + one;
    }
    missing +=
        counts[k] * (std::max(0.0, steps[k].infinity_mass - excess) + kRounding * size + low);
  }
  double least = 0;
  for (const double order : {5.0, 10.0, 20.0, 40.0, 80.0}) {
    double log_moment = 0;
    for (std::size_t k = 0; k < counts.size(); ++k) {
      double excess = steps[k].infinity_mass * -1;
      for (std::size_t i = 0; i < steps[k].loss.size(); ++i) {
        const double loss = steps[k].loss[i];
        if (loss >= -x) excess += steps[k].mass[i] * std::expm1(-(1 + order / x) * loss);
      }
      log_moment += counts[k] * std::max(0.0, std::log1p(excess));
    }
    if (std::isnan(log_moment) || log_moment - order > least) break;
    least = log_moment - order;
  }
  return std::min(1.0, std::exp(least) + missing);
}

}  // namespace

LargeLosses::LargeLosses(std::span<const double> counts, std::span<PrivacyLoss> steps,
                         double epsilon, double reach, double most) {
  const auto sum_above = [&](double cap) {
    gain_ = 0;
    fall_ = 0;
    for (std::size_t k = 0; k < counts.size(); ++k) {
      const PrivacyLoss& step = steps[k];
      for (std::size_t i = step.loss.size(); i-- > 0 && step.loss[i] > cap;) {
        const double mass = counts[k] * step.mass[i];
        gain_ += mass * -std::expm1(-step.loss[i]);
        fall_ += mass * std::exp(-step.loss[i]);
      }
    }
  };
  double distance = std::max(epsilon / 2, reach);
  sum_above(epsilon + distance);
  if (gain_ + fall_ == 0) return;  // nothing that is larger
  for (int i = 0; i < kMostWidenings; ++i, distance *= 2) {
    cap_ = epsilon + distance;
    sum_above(cap_);
    if (gain_ + fall_ == 0) break;
    until_ = epsilon + distance / 4;
    doubt_ = DoubtAt(cap_ - until_, counts, steps);
    // Two such losses at once are counted twice.
    const double twice = (gain_ + fall_) * At(epsilon) / 2;
    if (std::exp(epsilon) * fall_ * doubt_ + twice > most) continue;
    for (std::size_t k = 0; k < counts.size(); ++k) {
      PrivacyLoss& step = steps[k];
      while (step.loss.size() > 1 && step.loss.back() > cap_) {
        step.loss.pop_back();
        step.mass.pop_back();
      }
    }
    return;
  }
  *this = LargeLosses();
}

double LargeLosses::At(double epsilon) const {
  // Beyond 600 exponentials overflow, and all that is lost is a bound of 1.
  if (fall_ == 0 || epsilon > std::min(until_, 600.0)) return gain_ + fall_;
  return std::max(0.0, gain_ - std::expm1(epsilon) * fall_) + std::exp(epsilon) * fall_ * doubt_;
}

}  // namespace cloister::dp
