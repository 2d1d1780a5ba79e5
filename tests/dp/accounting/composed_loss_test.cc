#include "dp/accounting/composed_loss.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "dp/accounting/compose_losses.h"
#include "dp/accounting/gaussian_profile.h"

namespace cloister::dp {
namespace {

TEST(Compose, IsTheDirectConvolutionAndBoundsItsOwnErrors) {
  const Event event{1.1, 0.3, 1, Neighbours::kRemove};
  const PrivacyLoss loss = StepLoss(event, Direction::kRemove, {0.1, 1e-16});
  const double tilt = 2;
  const TiltedLoss tilted = Tilt(loss, tilt, CumulantOf(loss, tilt).value);
  const double spacing = 0.05;
  const LatticeLoss lattice = OnLattice(tilted, tilt, spacing);
  for (const std::int64_t count : {1, 2, 5}) {
    std::map<std::int64_t, long double> exact = {{0, 1}};
    for (std::int64_t i = 0; i < count; ++i) {
      std::map<std::int64_t, long double> next;
      for (const auto& [index, mass] : exact) {
        for (std::size_t k = 0; k < lattice.index.size(); ++k) {
          next[index + lattice.index[k]] += mass * lattice.mass[k];
        }
      }
      exact = std::move(next);
    }
    const Part part = {&tilted, count};
    const TiltedLoss made = Compose({&part, 1}, tilt, spacing, 1e-9).value();
    long double missing = 0;  // mass that the result has too little of
    std::map<std::int64_t, double> found;
    for (std::size_t i = 0; i < made.loss.size(); ++i) {
      const double origin = lattice.origin * static_cast<double>(count);
      found[std::llround((made.loss[i] - origin) / spacing)] = made.mass[i];
    }
    long double total = 0;
    for (const auto& [index, mass] : exact) {
      missing += std::max<long double>(0, mass - (found.count(index) != 0 ? found[index] : 0));
      total += mass;
    }
    EXPECT_LE(missing, made.stray) << count;
    EXPECT_LT(made.stray, 1e-8) << count;
    EXPECT_NEAR(Sum(made.mass), static_cast<double>(total), 1e-8) << count;
  }
}

// The path that sampled events take, on events whose exact profile is known.
TEST(ComposeEvents, IsNeverBelowTheExactGaussianAndClose) {
  for (const double sigma : {0.4, 1.0, 7.0, 100.0}) {
    for (const std::int64_t steps : {1, 3, 63, 64, 1000, 1'000'000}) {
      // Two parts whose ratio differs, so that they are not one Gaussian's copies.
      const double mu = std::sqrt(static_cast<double>(steps)) / sigma;
      if (mu > 300) continue;
      for (const double delta : {0.1, 1e-3, 1e-6, 1e-12, 1e-30}) {
        const double exact = EpsilonOfGaussian(mu, std::log(delta));
        const Event event{sigma, 1, steps, Neighbours::kRemove};
        const ComposedLoss composed =
            ComposeEvents({&event, 1}, Direction::kRemove, {true, delta}).value();
        const double epsilon = composed.Epsilon(std::log(delta));
        EXPECT_GE(epsilon, exact * (1 - 1e-9)) << sigma << " " << steps << " " << delta;
        EXPECT_LE(epsilon, 1.003 * exact + 1e-3 * mu) << sigma << " " << steps << " " << delta;
        const ComposedLoss at =
            ComposeEvents({&event, 1}, Direction::kRemove, {false, exact}).value();
        if (exact == 0 || mu > 30) continue;
        EXPECT_GE(at.LogDelta(exact), std::log(delta) - 1e-9) << sigma << " " << steps;
        EXPECT_LE(at.LogDelta(exact), std::log(delta) + 0.02) << sigma << " " << steps << delta;
      }
    }
  }
}

// Bounds of δ from both sides, by another way: bucket the loss of a Laplace step by probabilities
// alone, up and down, and convolve directly.
struct Bracket {
  double low = 0;
  double high = 0;
};

Bracket LaplaceBracket(double scale, double rate, int steps, double epsilon) {
  constexpr int kBuckets = 1500;
  const double low = std::log1p(rate * std::expm1(-1 / scale));
  const double high = std::log1p(rate * std::expm1(1 / scale));
  const double width = (high - low) / kBuckets;
  // P(loss <= l) of the removal: x at which 1 - q + q r = e^l, r = e^{(2x-1)/b} for 0 <= x <= 1.
  const auto below = [&](double loss) {
    if (loss >= high - 1e-12) return 1.0;
    const double x = (scale * std::log1p(std::expm1(loss) / rate) + 1) / 2;
    const auto cdf = [&](double at) {
      return at < 0 ? 0.5 * std::exp(at / scale) : 1 - 0.5 * std::exp(-at / scale);
    };
    return (1 - rate) * cdf(x) + rate * cdf(x - 1);
  };
  std::vector<double> one(kBuckets + 1);
  one[0] = below(low + 1e-12);
  for (int i = 1; i <= kBuckets; ++i) {
    one[i] = below(low + i * width) - below(low + (i - 1) * width + (i == 1 ? 1e-12 : 0));
  }
  std::vector<double> all = {1};
  for (int s = 0; s < steps; ++s) {
    std::vector<double> next(all.size() + kBuckets);
    for (std::size_t i = 0; i < all.size(); ++i) {
      for (int k = 0; k <= kBuckets; ++k) next[i + static_cast<std::size_t>(k)] += all[i] * one[k];
    }
    all = std::move(next);
  }
  Bracket made;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const double up = steps * low + static_cast<double>(i) * width;
    const double down = up - steps * width;
    if (up > epsilon) made.high += all[i] * -std::expm1(epsilon - up);
    if (down > epsilon) made.low += all[i] * -std::expm1(epsilon - down);
  }
  return made;
}

TEST(ComposeEvents, LaplaceStandsBetweenBrackets) {
  for (const double scale : {0.7, 2.0}) {
    for (const double rate : {0.1, 0.6, 1.0}) {
      for (const int steps : {1, 2, 3}) {
        for (const double epsilon : {0.05, 0.3, 1.0}) {
          const Event event{scale, rate, steps, Neighbours::kRemove, 0, Mechanism::kLaplace};
          const Bracket bracket = LaplaceBracket(scale, rate, steps, epsilon);
          if (bracket.low < 1e-9) continue;
          const double delta =
              std::exp(ComposeEvents({&event, 1}, Direction::kRemove, {false, epsilon})
                           .value()
                           .LogDelta(epsilon));
          EXPECT_GE(delta, bracket.low) << scale << " " << rate << " " << steps;
          EXPECT_LE(delta, bracket.high * 1.005) << scale << " " << rate << " " << steps;
        }
      }
    }
  }
}

TEST(ComposeEvents, DiscreteGaussiansAreTheDirectSum) {
  const double sigma = 1.5;
  constexpr int kReach = 40;
  double total = 0;
  for (int k = -kReach; k <= kReach; ++k) total += std::exp(-k * k / (2 * sigma * sigma));
  for (const double rate : {0.2, 1.0}) {
    const auto p0 = [&](int k) { return std::exp(-k * k / (2 * sigma * sigma)) / total; };
    const auto p = [&](int k) { return (1 - rate) * p0(k) + rate * p0(k - 1); };
    for (const double epsilon : {0.1, 0.8, 2.0}) {
      double exact = 0;
      for (int i = -kReach; i <= kReach; ++i) {
        for (int j = -kReach; j <= kReach; ++j) {
          exact += std::max(0.0, p(i) * p(j) - std::exp(epsilon) * p0(i) * p0(j));
        }
      }
      const Event event{sigma, rate, 2, Neighbours::kRemove, 0, Mechanism::kDiscreteGaussian};
      const double delta = std::exp(ComposeEvents({&event, 1}, Direction::kRemove, {false, epsilon})
                                        .value()
                                        .LogDelta(epsilon));
      EXPECT_GE(delta, exact * (1 - 1e-12)) << rate << " " << epsilon;
      EXPECT_LE(delta, exact * 1.01) << rate << " " << epsilon;
    }
  }
}

// Tails of steps, infinity mass, are all that is left beyond the largest finite loss.
TEST(ComposeEvents, IsABoundBeyondEveryFiniteLoss) {
  for (const std::int64_t steps : {1, 3}) {
    const Event event{1, 1, steps, Neighbours::kRemove};
    const double mu = std::sqrt(static_cast<double>(steps));
    // So small that the tilt leaves errors of transforms far below tails.
    const ComposedLoss composed =
        ComposeEvents({&event, 1}, Direction::kRemove, {true, 1e-30}).value();
    const double first = EpsilonOfGaussian(mu, std::log(1e-30));
    for (int i = 0; i < static_cast<int>(20 * first); ++i) {
      const double epsilon = first + 0.05 * i;
      EXPECT_GE(composed.LogDelta(epsilon), LogDeltaOfGaussian(mu, epsilon) - 1e-9)
          << steps << " " << epsilon;
    }
  }
}

// Losses that may stand too low by so much are answered for as if they did.
TEST(ComposedLoss, ShiftsAndMarginsOfLossesCount) {
  TiltedLoss loss;
  loss.loss = {0, 0.5, 1, 1.5};
  loss.mass = {0.4, 0.3, 0.2, 0.1};
  ComposedLoss::Scale scale;
  scale.tilt = 1.5;
  const ComposedLoss plain(loss, scale);
  constexpr double kShift = 0.01;
  constexpr double kMargin = 0.002;
  loss.shift = kShift;
  scale.loss_margin = kMargin;
  const ComposedLoss moved(loss, scale);
  for (const double epsilon : {0.1, 0.6, 1.2, 1.4}) {
    EXPECT_NEAR(moved.LogDelta(epsilon + kShift + kMargin), plain.LogDelta(epsilon), 1e-9);
  }
  for (const double log_delta : {-1.5, -3.0, -5.0}) {
    EXPECT_NEAR(moved.Epsilon(log_delta), plain.Epsilon(log_delta) + kShift + kMargin, 1e-9);
  }
}

}  // namespace
}  // namespace cloister::dp
