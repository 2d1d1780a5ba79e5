#include "dp/accounting/privacy_loss.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "base/check.h"
#include "dp/accounting/connect_dots.h"
#include "dp/accounting/gaussian_profile.h"

namespace cloister::dp {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kSmallestMultiplier = 0.02;
constexpr double kLargestDiscreteSigma = 10'000;
// Within a cell no logarithm of a density or ratio changes by more than about this: quadrature with
// four nodes then has a relative error under 1e-13.
constexpr double kLargestChange = 0.25;
constexpr double kMostCells = 1 << 16;

std::int64_t CellsOf(double length, double width) {
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(length / width)));
}

// Of P = (1 - rate) N(0, 1) + rate N(shift, 1), beyond u.
double MassAbove(double u, double rate, double shift) {
  return (1 - rate) * NormalUpperTail(u) + rate * NormalUpperTail(u - shift);
}

// Where at most `tail` of P is left, within a thousandth.
double UpperEnd(double rate, double shift, double tail) {
  double low = 0;
  double high = NormalUpperQuantile(tail) + (rate > 0 ? shift : 0);
  while (high - low > 1e-3 * high) {
    const double middle = (low + high) / 2;
    (MassAbove(middle, rate, shift) <= tail ? high : low) = middle;
  }
  return high;
}

PrivacyLoss GaussianLoss(double noise_multiplier, const Mixture& mixture,
                         const Resolution& resolution) {
  const double shift = 1 / noise_multiplier;
  const double reach = NormalUpperQuantile(resolution.tail);
  const double low = -reach;
  const double high = UpperEnd(mixture.upper_rate, shift, resolution.tail);
  // The density's slope is at most the reach plus the shift.
  const double width =
      std::min({resolution.cell, kLargestChange / shift, kLargestChange * 4 / (reach + shift)});
  const std::int64_t cells = CellsOf(high - low, width);
  const double step = (high - low) / static_cast<double>(cells);
  PrivacyLoss made;
  made.loss.resize(static_cast<std::size_t>(cells) + 1);
  made.mass.resize(made.loss.size());
  const double normalizer = -0.5 * std::log(2 * std::numbers::pi);
  const DotConnector dots(step, shift, -shift, mixture);
  for (std::size_t i = 0; i < made.loss.size(); ++i) {
    const double u = low + static_cast<double>(i) * step;
    Cell cell;
    cell.log_density = normalizer - u * u / 2;
    cell.decay = u;
    cell.bend = 0.5;
    cell.log_upper = shift * (u - shift / 2);
    cell.log_upper_mix = LogMix(mixture.upper_rate, cell.log_upper);
    cell.log_lower = -shift * (u + shift / 2);
    cell.log_lower_mix = LogMix(mixture.lower_rate, cell.log_lower);
    made.loss[i] = cell.log_upper_mix - cell.log_lower_mix;
    if (i == 0) {
      // What lies below has no larger loss and no larger density ratio.
      made.mass[0] += NormalUpperTail(-low) * std::exp(cell.log_upper_mix);
    }
    if (i + 1 == made.loss.size()) break;
    const auto [left, right] = dots.Connect(cell);
    made.mass[i] += left;
    made.mass[i + 1] += right;
  }
  made.infinity_mass = MassAbove(high, mixture.upper_rate, shift);
  return made;
}

// Pure differential privacy alone: every mechanism with losses from -bound to bound is dominated by
// the one that has no others.
PrivacyLoss TwoPoints(double low, double high) {
  const double upper = std::expm1(low) / std::expm1(low - high);
  return {{low, high}, {1 - upper, upper}, 0};
}

// Outcomes in scales of the noise: the ratios change between 0 and `shift` (P's) and between
// -shift and 0 (Q's), and are level elsewhere.
PrivacyLoss LaplaceLoss(double scale, const Mixture& mixture, const Resolution& resolution) {
  const double shift = 1 / scale;
  const double width = std::min(resolution.cell, kLargestChange / 2);
  const auto loss_at = [&](double v) {
    const double upper = std::clamp(2 * v - shift, -shift, shift);
    const double lower = std::clamp(-2 * v - shift, -shift, shift);
    return LogMix(mixture.upper_rate, upper) - LogMix(mixture.lower_rate, lower);
  };
  const double low = mixture.lower_rate > 0 ? -shift : 0;
  const double high = mixture.upper_rate > 0 ? shift : 0;
  if ((high - low) / width > kMostCells) return TwoPoints(loss_at(low), loss_at(high));
  PrivacyLoss made;
  made.loss.push_back(loss_at(low));
  made.mass.push_back(0.5 * std::exp(low + LogMix(mixture.upper_rate, -shift)));
  for (const bool positive : {false, true}) {
    if ((positive ? mixture.upper_rate : mixture.lower_rate) == 0) {
      // Losses are level on this side: all of it belongs to its inner end.
      continue;
    }
    const std::int64_t cells = CellsOf(shift, width);
    const double step = shift / static_cast<double>(cells);
    const DotConnector dots(step, positive ? 2 : 0, positive ? 0 : -2, mixture);
    for (std::int64_t i = 0; i < cells; ++i) {
      const double v = static_cast<double>(positive ? i : i - cells) * step;
      Cell cell;
      cell.log_density = -std::log(2.0) - std::abs(v);
      cell.decay = positive ? 1 : -1;
      cell.log_upper = positive ? 2 * v - shift : -shift;
      cell.log_upper_mix = LogMix(mixture.upper_rate, cell.log_upper);
      cell.log_lower = positive ? -shift : -2 * v - shift;
      cell.log_lower_mix = LogMix(mixture.lower_rate, cell.log_lower);
      const auto [left, right] = dots.Connect(cell);
      made.mass.back() += left;
      made.loss.push_back(loss_at(i + 1 == cells ? (positive ? shift : 0) : v + step));
      made.mass.push_back(right);
    }
  }
  made.mass.back() += 0.5 * std::exp(-high + LogMix(mixture.upper_rate, high > 0 ? shift : 0));
  return made;
}

// The outcomes are whole numbers: nothing to connect.
PrivacyLoss DiscreteGaussianLoss(double sigma, double sensitivity, const Mixture& mixture,
                                 const Resolution& resolution) {
  const double variance = sigma * sigma;
  const auto reach =
      static_cast<std::int64_t>(std::ceil(sigma * (NormalUpperQuantile(resolution.tail) + 1))) + 2;
  const auto shift = static_cast<std::int64_t>(sensitivity);
  const std::int64_t first = -reach - (mixture.lower_rate > 0 ? shift : 0);
  const std::int64_t last = reach + (mixture.upper_rate > 0 ? shift : 0);
  const auto low = static_cast<double>(first);
  const auto high = static_cast<double>(last);
  // exp(-k²/2σ²) from k = n on, n > 0, falls at least as fast as a geometric series.
  const auto tail_from = [&](double n) {
    return std::exp(-n * n / (2 * variance)) / -std::expm1(-n / variance);
  };
  // exp(-k²/2σ²) of k = 0, 1, …, as far as any outcome is from either centre.
  const std::int64_t farthest = std::max(-first, last) + shift;
  std::vector<double> weight(static_cast<std::size_t>(farthest) + 1);
  for (std::int64_t i = 0; i <= farthest; ++i) {
    const auto k = static_cast<double>(i);
    weight[static_cast<std::size_t>(i)] = std::exp(-k * k / (2 * variance));
  }
  const auto weight_of = [&](std::int64_t i) {
    return weight[static_cast<std::size_t>(std::abs(i))];
  };
  double total = 1;
  for (std::int64_t i = 1; i <= reach; ++i) total += 2 * weight_of(i);
  PrivacyLoss made;
  made.loss.reserve(static_cast<std::size_t>(last - first) + 1);
  made.mass.reserve(static_cast<std::size_t>(last - first) + 1);
  for (std::int64_t i = first; i <= last; ++i) {
    const auto k = static_cast<double>(i);
    const double log_upper = sensitivity * (2 * k - sensitivity) / (2 * variance);
    const double log_lower = -sensitivity * (2 * k + sensitivity) / (2 * variance);
    made.loss.push_back(LogMix(mixture.upper_rate, log_upper) -
                        LogMix(mixture.lower_rate, log_lower));
    double mass = (1 - mixture.upper_rate) * weight_of(i);
    if (mixture.upper_rate > 0) mass += mixture.upper_rate * weight_of(i - shift);
    made.mass.push_back(mass / total);
  }
  made.mass.front() +=
      tail_from(1 - low) / total *
      std::exp(LogMix(mixture.upper_rate, sensitivity * (2 * low - sensitivity) / (2 * variance)));
  made.infinity_mass = ((1 - mixture.upper_rate) * tail_from(high + 1) +
                        mixture.upper_rate * tail_from(high + 1 - sensitivity)) /
                       total;
  return made;
}

}  // namespace

std::vector<Direction> DirectionsOf(Neighbours relation) {
  switch (relation) {
    case Neighbours::kAdd:
      return {Direction::kAdd};
    case Neighbours::kRemove:
      return {Direction::kRemove};
    case Neighbours::kReplaceOne:
      return {Direction::kReplace};
    case Neighbours::kAddOrRemoveOne:
    case Neighbours::kZeroOut:
      return {Direction::kRemove, Direction::kAdd};
  }
  base::CheckFailed(__FILE__, __LINE__, "a relation without directions");
}

bool HasLittleNoise(const Event& event) {
  return event.mechanism != Mechanism::kLaplace && event.noise_multiplier < kSmallestMultiplier;
}

bool HasStepLoss(const Event& event) {
  if (event.mechanism == Mechanism::kLaplace) return true;
  if (HasLittleNoise(event)) return false;
  return event.mechanism == Mechanism::kGaussian || Sigma(event) <= kLargestDiscreteSigma;
}

PrivacyLoss StepLoss(const Event& event, Direction direction, const Resolution& resolution) {
  CLOISTER_CHECK(HasStepLoss(event));
  const Mixture mixture = MixtureOf(event.sampling_rate, direction);
  switch (event.mechanism) {
    case Mechanism::kGaussian:
      return GaussianLoss(event.noise_multiplier, mixture, resolution);
    case Mechanism::kLaplace:
      return LaplaceLoss(event.noise_multiplier, mixture, resolution);
    case Mechanism::kDiscreteGaussian:
      return DiscreteGaussianLoss(Sigma(event), event.sensitivity, mixture, resolution);
  }
  base::CheckFailed(__FILE__, __LINE__, "a mechanism without a loss");
}

double LargestLoss(const Event& event, Direction direction) {
  const Mixture mixture = MixtureOf(event.sampling_rate, direction);
  const double shift =
      event.mechanism == Mechanism::kLaplace ? 1 / event.noise_multiplier : kInfinity;
  const double upper =
      std::isinf(shift) && mixture.upper_rate > 0 ? kInfinity : LogMix(mixture.upper_rate, shift);
  return upper - LogMix(mixture.lower_rate, -shift);
}

}  // namespace cloister::dp
