#include "dp/accounting/privacy_loss.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "dp/accounting/gaussian_profile.h"
#include "dp/accounting/pld_accountant.h"
#include "dp/accounting/tilted_loss.h"

namespace cloister::dp {
namespace {

// δ(ε) of a privacy loss distribution, by its definition.
double DeltaOf(const PrivacyLoss& loss, double epsilon) {
  double delta = loss.infinity_mass;
  for (std::size_t i = 0; i < loss.loss.size(); ++i) {
    if (loss.loss[i] > epsilon) delta += loss.mass[i] * -std::expm1(epsilon - loss.loss[i]);
  }
  return delta;
}

// P(X > x) of the noise, in units of the sensitivity.
double Tail(Mechanism mechanism, double scale, double x) {
  if (mechanism == Mechanism::kGaussian) return NormalUpperTail(x / scale);
  const double half = 0.5 * std::exp(-std::abs(x) / scale);
  return x > 0 ? half : 1 - half;
}

// The largest of P(X > x) - e^ε Q(X > x), which is δ(ε), since losses rise with x.
double ExactDelta(const Event& event, Direction direction, double epsilon) {
  const double rate = event.sampling_rate;
  const auto mix = [&](double shift, double x) {
    return (1 - rate) * Tail(event.mechanism, event.noise_multiplier, x) +
           rate * Tail(event.mechanism, event.noise_multiplier, x - shift);
  };
  const auto gain = [&](double x) {
    const double p =
        direction == Direction::kAdd ? Tail(event.mechanism, event.noise_multiplier, x) : mix(1, x);
    const double q = direction == Direction::kRemove
                         ? Tail(event.mechanism, event.noise_multiplier, x)
                         : mix(-1, x);
    return p - std::exp(epsilon) * q;
  };
  double best = 0;
  const double reach = 12 * event.noise_multiplier + 2;
  double at = 0;
  for (int i = -4000; i <= 4000; ++i) {
    const double x = reach * i / 4000;
    if (gain(x) > best) best = gain(at = x);
  }
  double step = reach / 4000;
  for (int halved = 0; halved < 30; ++halved) {
    for (const double x : {at - step, at + step}) {
      if (gain(x) > best) best = gain(at = x);
    }
    step /= 2;
  }
  return best;
}

const std::vector<double> kEpsilons = {0, 1e-4, 0.01, 0.1, 0.5, 1, 2, 4};

// Whether no δ of `loss` is below `exact`, but for rounding.
bool Dominates(const PrivacyLoss& loss, const std::function<double(double)>& exact) {
  for (const double epsilon : kEpsilons) {
    const double wanted = exact(epsilon);
    if (DeltaOf(loss, epsilon) < wanted * (1 - 1e-9) - 1e-14) return false;
  }
  return true;
}

std::vector<Event> ContinuousEvents() {
  std::vector<Event> events;
  for (const Mechanism mechanism : {Mechanism::kGaussian, Mechanism::kLaplace}) {
    for (const double noise : {0.3, 1.0, 5.0}) {
      for (const double rate : {1e-4, 0.05, 0.7, 1.0}) {
        events.push_back({noise, rate, 1, Neighbours::kAddOrRemoveOne, 0, mechanism});
      }
    }
  }
  return events;
}

constexpr Direction kDirections[] = {Direction::kRemove, Direction::kAdd, Direction::kReplace};

TEST(StepLoss, DominatesTheMechanismAndIsClose) {
  for (const Event& event : ContinuousEvents()) {
    for (const Direction direction : kDirections) {
      const PrivacyLoss loss = StepLoss(event, direction, {0.01, 1e-16});
      const auto exact = [&](double epsilon) { return ExactDelta(event, direction, epsilon); };
      EXPECT_TRUE(Dominates(loss, exact)) << ToJson(event) << int(direction);
      for (const double epsilon : kEpsilons) {
        EXPECT_LE(DeltaOf(loss, epsilon), exact(epsilon) * 1.01 + 1e-9)
            << ToJson(event) << int(direction) << " " << epsilon;
      }
    }
  }
}

TEST(StepLoss, LossesRoundedDownAreCaught) {
  for (const Event& event : ContinuousEvents()) {
    PrivacyLoss broken = StepLoss(event, Direction::kRemove, {0.05, 1e-16});
    for (std::size_t i = broken.loss.size(); i-- > 1;) broken.loss[i] = broken.loss[i - 1];
    EXPECT_FALSE(Dominates(broken, [&](double epsilon) {
      return ExactDelta(event, Direction::kRemove, epsilon);
    })) << ToJson(event);
  }
}

TEST(StepLoss, KeepsBothProbabilities) {
  std::vector<Event> events = ContinuousEvents();
  for (const double sensitivity : {1.0, 3.0}) {
    for (const double rate : {0.01, 1.0}) {
      events.push_back({2.5, rate, 1, Neighbours::kAddOrRemoveOne, 0, Mechanism::kDiscreteGaussian,
                        sensitivity});
    }
  }
  for (const Event& event : events) {
    for (const Direction direction : kDirections) {
      const PrivacyLoss loss = StepLoss(event, direction, {0.1, 1e-30});
      double p = 0;
      double q = 0;
      for (std::size_t i = 0; i < loss.loss.size(); ++i) {
        EXPECT_GE(loss.mass[i], 0);
        if (i > 0) {
          EXPECT_GE(loss.loss[i], loss.loss[i - 1] - 1e-12);
        }
        p += loss.mass[i];
        q += loss.mass[i] * std::exp(-loss.loss[i]);
      }
      EXPECT_NEAR(p, 1, 1e-12) << ToJson(event) << int(direction);
      EXPECT_NEAR(q, 1, 1e-12) << ToJson(event) << int(direction);
      EXPECT_LE(loss.infinity_mass, 1e-29);
      EXPECT_LE(loss.loss.back(), LargestLoss(event, direction) + 1e-12);
    }
  }
}

TEST(StepLoss, DiscreteGaussianIsTheSumOverWholeNumbers) {
  const double sigma = 1.7;
  double total = 0;
  for (int k = -60; k <= 60; ++k) total += std::exp(-k * k / (2 * sigma * sigma));
  for (const int sensitivity : {1, 2}) {
    for (const double rate : {0.1, 1.0}) {
      const Event event{sigma / sensitivity, rate, 1,
                        Neighbours::kRemove, 0,    Mechanism::kDiscreteGaussian,
                        double(sensitivity)};
      for (const double epsilon : kEpsilons) {
        double exact = 0;
        for (int k = -60; k <= 60; ++k) {
          const auto at = [&](int center) {
            return std::exp(-(k - center) * (k - center) / (2 * sigma * sigma)) / total;
          };
          const double p = (1 - rate) * at(0) + rate * at(sensitivity);
          exact += std::max(0.0, p - std::exp(epsilon) * at(0));
        }
        const PrivacyLoss loss = StepLoss(event, Direction::kRemove, {0.1, 1e-30});
        EXPECT_NEAR(DeltaOf(loss, epsilon), exact, 1e-14);
      }
    }
  }
}

TEST(StepLoss, SmallRatesKeepTheirDigits) {
  // The variance of a step is q² (exp(1/σ²) - 1), to first order in q.
  for (const double rate : {1e-3, 1e-5, 1e-7}) {
    const Event event{2, rate, 1, Neighbours::kRemove};
    const PrivacyLoss loss = StepLoss(event, Direction::kRemove, {0.01, 1e-16});
    const Cumulant at = CumulantOf(loss, 1);
    EXPECT_NEAR(at.value, rate * rate * std::expm1(0.25), 1e-4 * rate * rate) << rate;
  }
}

TEST(OnLattice, DominatesWhereRoundingDownDoesNot) {
  const Event event{1.3, 0.2, 1, Neighbours::kRemove};
  const PrivacyLoss loss = StepLoss(event, Direction::kRemove, {0.05, 1e-16});
  const double tilt = 3;
  const double log_scale = CumulantOf(loss, tilt).value;
  const TiltedLoss tilted = Tilt(loss, tilt, log_scale);
  const auto exact = [&](double epsilon) { return DeltaOf(loss, epsilon); };
  for (const double spacing : {1e-3, 0.03, 0.4}) {
    const LatticeLoss lattice = OnLattice(tilted, tilt, spacing);
    PrivacyLoss rounded;
    rounded.infinity_mass = loss.infinity_mass;
    for (std::size_t i = 0; i < lattice.index.size(); ++i) {
      rounded.loss.push_back(lattice.origin + static_cast<double>(lattice.index[i]) * spacing);
      rounded.mass.push_back(lattice.mass[i] * std::exp(log_scale - tilt * rounded.loss.back()));
    }
    EXPECT_TRUE(Dominates(rounded, exact)) << spacing;
    PrivacyLoss broken = loss;
    for (double& value : broken.loss) {
      value = lattice.origin + std::floor((value - lattice.origin) / spacing) * spacing;
    }
    EXPECT_FALSE(Dominates(broken, exact)) << spacing;
  }
}

// Little noise and rare samples: losses far below the least whose reciprocal a double holds.
TEST(StepLoss, IsADistributionAtTheLeastNoiseAndRate) {
  for (const double noise : {0.02, 0.026, 0.05, 0.3}) {
    for (const double rate : {1e-9, 2.8e-6, 0.5, 1.0}) {
      for (const Direction direction : {Direction::kRemove, Direction::kAdd, Direction::kReplace}) {
        for (const Mechanism mechanism : {Mechanism::kGaussian, Mechanism::kLaplace}) {
          const Event event{noise, rate, 1, Neighbours::kRemove, 0, mechanism};
          const PrivacyLoss loss = StepLoss(event, direction, {0.1, 1e-30});
          double sum = 0;
          for (const double mass : loss.mass) {
            ASSERT_TRUE(std::isfinite(mass) && mass > -1e-25) << ToJson(event);
            sum += mass;
          }
          EXPECT_NEAR(sum, 1, 1e-9) << ToJson(event);
        }
      }
    }
  }
}

// Five of 253 samples would have to hold the unit.
TEST(PldDelta, OfLittleNoiseIsNotTheChanceToBeSampled) {
  const Event event{0.026, 2.83e-6, 253, Neighbours::kRemove};
  EXPECT_LT(PldDelta({&event, 1}, 3211).value(), 1e-14);
}

}  // namespace
}  // namespace cloister::dp
