#include "dp/accounting/pld_accountant.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <map>
#include <random>
#include <string>

#include "dp/accounting/accountant.h"
#include "dp/accounting/gaussian_profile.h"
#include "dp/accounting/rdp_accountant.h"
#include "dp/accounting/rdp_conversion.h"

namespace cloister::dp {
namespace {

Event Gaussian(double noise, double rate, std::int64_t steps) {
  return {noise, rate, steps, Neighbours::kAddOrRemoveOne};
}

double Epsilon(const Event& event, double delta) {
  const auto made = PldEpsilon({&event, 1}, delta);
  EXPECT_TRUE(made) << made.error().message;
  return made.value_or(std::nan(""));
}

// Values in an order in which ε must not fall; infinity counts as large, NaN never passes.
void ExpectRising(const std::vector<double>& values, const std::string& what) {
  for (std::size_t i = 1; i < values.size(); ++i) {
    EXPECT_GE(values[i], values[i - 1] * (1 - 1e-12)) << what << ", place " << i;
  }
  for (const double value : values) EXPECT_TRUE(std::isfinite(value) && value >= 0) << what;
}

const std::vector<double> kNoises = {200, 5, 1, 0.6, 0.3};
const std::vector<double> kRates = {1e-7, 1e-4, 0.02, 0.5, 1};
const std::vector<std::int64_t> kSteps = {1, 30, 2000, 10'000'000};
const std::vector<double> kDeltas = {0.1, 1e-5, 1e-12, 1e-30};

TEST(PldAccountant, IsMonotoneInEveryArgumentToTheExtremes) {
  // By place of noise, rate, steps and delta.
  std::map<std::array<std::size_t, 4>, double> made;
  const std::array<std::size_t, 4> sizes = {kNoises.size(), kRates.size(), kSteps.size(),
                                            kDeltas.size()};
  std::array<std::size_t, 4> at{};
  const auto each = [&](const auto& visit, auto&& self, std::size_t axis) -> void {
    if (axis == 4) return visit();
    for (at[axis] = 0; at[axis] < sizes[axis]; ++at[axis]) self(visit, self, axis + 1);
    at[axis] = 0;
  };
  each(
      [&] {
        const Event event = Gaussian(kNoises[at[0]], kRates[at[1]], kSteps[at[2]]);
        made[at] = Epsilon(event, kDeltas[at[3]]);
        EXPECT_LE(made[at], RdpEpsilon({&event, 1}, kDeltas[at[3]]).value() * 1.002 + 1e-2)
            << ToJson(event) << kDeltas[at[3]];
      },
      each, 0);
  for (const auto& [place, epsilon] : made) {
    EXPECT_TRUE(std::isfinite(epsilon) && epsilon >= 0);
    for (std::size_t axis = 0; axis < 4; ++axis) {
      if (place[axis] == 0) continue;
      std::array<std::size_t, 4> before = place;
      --before[axis];
      EXPECT_GE(epsilon, made[before] * (1 - 1e-12))
          << "axis " << axis << ", " << kNoises[place[0]] << " " << kRates[place[1]] << " "
          << kSteps[place[2]] << " " << kDeltas[place[3]];
    }
  }
}

// From `first` on, each `factor` times the one before, as far as `last`.
std::vector<double> Series(double first, double factor, double last) {
  std::vector<double> series;
  while (factor < 1 ? first > last : first < last) {
    series.push_back(first);
    first *= factor;
  }
  return series;
}

TEST(PldAccountant, NeighbouringArgumentsStayInOrder) {
  std::vector<double> values;
  for (const double noise : Series(1.5, 0.99, 0.7)) {
    values.push_back(Epsilon(Gaussian(noise, 0.01, 3000), 1e-6));
  }
  ExpectRising(values, "noise");
  values.clear();
  for (const double rate : Series(0.01, 1.05, 1)) {
    values.push_back(Epsilon(Gaussian(3, rate, 100), 1e-6));
  }
  values.push_back(Epsilon(Gaussian(3, 1, 100), 1e-6));
  ExpectRising(values, "rate");
  values.clear();
  for (std::int64_t steps = 1; steps < 1'000'000; steps = (steps * 103 + 99) / 100) {
    values.push_back(Epsilon(Gaussian(1, 0.003, steps), 1e-6));
  }
  ExpectRising(values, "steps");
  values.clear();
  for (const double delta : Series(1e-2, 1 / 1.3, 1e-20)) {
    values.push_back(Epsilon(Gaussian(1, 0.01, 1000), delta));
  }
  ExpectRising(values, "delta");
}

// Where one rare large loss decides, no tilt suits all losses: ε was ten times too large, and
// neighbours out of order by half.
TEST(PldAccountant, EpsilonsOfRareSamplesAreTightAndInOrder) {
  struct Row {
    double noise;
    double rate;
    std::int64_t steps;
    double delta;
    double at_most;
  };
  for (const Row& row : {Row{0.5501, 1.3564e-7, 3'950'494, 2.0995e-8, 0.0092},
                         Row{0.54358, 2.25664e-7, 724, 2.1404e-12, 0.0216},
                         Row{0.4237, 1.3814e-7, 5'835'278, 3.48e-5, 0.0197}}) {
    const auto epsilon = [&](double noise, double rate, double steps, double delta) {
      const Event event{noise, rate, static_cast<std::int64_t>(steps), Neighbours::kReplaceOne};
      return Epsilon(event, delta);
    };
    const auto steps = static_cast<double>(row.steps);
    const double made = epsilon(row.noise, row.rate, steps, row.delta);
    EXPECT_LE(made, row.at_most) << row.noise;
    EXPECT_GE(made, epsilon(row.noise, row.rate, 1, row.delta)) << row.noise;
    for (const double more : {1.0003, 1.003, 1.03}) {
      const double most = made * 1.003;
      EXPECT_LE(epsilon(row.noise * more, row.rate, steps, row.delta), most) << more;
      EXPECT_LE(epsilon(row.noise, row.rate / more, steps, row.delta), most) << more;
      EXPECT_LE(epsilon(row.noise, row.rate, std::floor(steps / more), row.delta), most) << more;
      EXPECT_LE(epsilon(row.noise, row.rate, steps, row.delta * more), most) << more;
    }
  }
}

// Anywhere in the range, for every relation; corners often. Lattices are chosen for each question,
// so that answers have a relative error of their own: a tenth of a percent of ε or so.
TEST(PldAccountant, IsFiniteAndInOrderAtRandomQuestions) {
  std::mt19937_64 random(17);  // NOLINT: the same questions every time
  const auto between = [&](double low, double high) {
    const double share = static_cast<double>(random() >> 11) / static_cast<double>(1ULL << 53);
    if (random() % 12 == 0) return random() % 2 == 0 ? low : high;
    return low * std::pow(high / low, share);
  };
  const std::array relations = {Neighbours::kAddOrRemoveOne, Neighbours::kAdd, Neighbours::kRemove,
                                Neighbours::kReplaceOne};
  for (int i = 0; i < 100; ++i) {
    const Event event{between(0.3, 200), between(1e-7, 1),
                      static_cast<std::int64_t>(between(1, 1e7)), relations[random() % 4]};
    const double delta = between(random() % 2 == 0 ? 1e-12 : 1e-30, 0.5);
    const std::string what = ToJson(event).dump() + " " + std::to_string(std::log10(delta));
    const double epsilon = Epsilon(event, delta);
    EXPECT_TRUE(std::isfinite(epsilon) && epsilon >= 0) << what;
    Event one = event;
    one.steps = 1;
    EXPECT_GE(epsilon * (1 + 1e-9), Epsilon(one, delta)) << what;
    Event whole = event;
    whole.sampling_rate = 1;
    EXPECT_LE(epsilon, Epsilon(whole, delta) * (1 + 1e-9)) << what;
    // Below 1e-12 rare large losses leave it looser.
    const double most = epsilon * (delta < 1e-12 ? 1.5 : 1.01) + 1e-3;
    Event less = event;
    less.noise_multiplier *= 1.01;
    EXPECT_LE(Epsilon(less, delta), most) << what;
    less = event;
    less.sampling_rate /= 1.01;
    EXPECT_LE(Epsilon(less, delta), most) << what;
    less = event;
    less.steps = std::max<std::int64_t>(1, event.steps * 99 / 100);
    EXPECT_LE(Epsilon(less, delta), most) << what;
    EXPECT_LE(Epsilon(event, std::min(0.9, delta * 1.01)), most) << what;

    const double at = random() % 8 == 0 ? 0 : epsilon * between(0.2, 4);
    const double back = PldDelta({&event, 1}, at).value();
    EXPECT_TRUE(back >= 0 && back <= 1) << what << " " << at;
    EXPECT_LE(PldDelta({&event, 1}, at * 1.01).value(), back * 1.01 + 1e-12) << what << " " << at;
    if (at > epsilon * 1.01 + 1e-3 && delta >= 1e-12) {
      EXPECT_LE(back, delta) << what << " " << at;
    }
  }
}

TEST(PldAccountant, TheProfileFallsAndUndoesEpsilon) {
  const Event event = Gaussian(1, 0.02, 500);
  std::vector<double> epsilons;
  for (int tenths = 0; tenths < 80; ++tenths) epsilons.push_back(0.1 * tenths);
  const std::vector<double> profile = PldProfile({&event, 1}, epsilons).value();
  ASSERT_EQ(profile.size(), epsilons.size());
  for (std::size_t i = 1; i < profile.size(); ++i) {
    // 1e-12 is given as long as moments show no less.
    if (profile[i] == 1e-12 || profile[i - 1] > 1e-12) {
      EXPECT_LE(profile[i], profile[i - 1]);
    } else {
      EXPECT_LT(profile[i], profile[i - 1]);
    }
  }
  for (const double delta : {1e-2, 1e-5, 1e-9}) {
    const double back = PldDelta({&event, 1}, Epsilon(event, delta)).value();
    EXPECT_NEAR(back, delta, 0.03 * delta);
  }
}

TEST(PldAccountant, MixedEventsCompose) {
  const Event first = Gaussian(1.2, 0.02, 500);
  const Event second = Gaussian(1.2, 0.02, 250);
  const Event halves[] = {second, second};
  EXPECT_DOUBLE_EQ(PldEpsilon(halves, 1e-5).value(), Epsilon(first, 1e-5));
  Event laplace = Gaussian(3, 0.1, 50);
  laplace.mechanism = Mechanism::kLaplace;
  Event discrete = Gaussian(4, 1, 10);
  discrete.mechanism = Mechanism::kDiscreteGaussian;
  const std::vector<Event> all = {first, laplace, discrete, Gaussian(8, 1, 20)};
  const double whole = PldEpsilon(all, 1e-5).value();
  double sum = 0;
  for (const Event& event : all) {
    EXPECT_GT(whole, Epsilon(event, 1e-5));
    sum += Epsilon(event, 1e-5 / 4);
  }
  EXPECT_LT(whole, sum);
}

TEST(PldAccountant, ChargesSlackOfTheSampler) {
  Event event = Gaussian(1, 0.01, 1000);
  const double ideal = Epsilon(event, 1e-5);
  event.delta_slack = 1e-7;
  const double charged = Epsilon(event, 1e-5);
  EXPECT_GT(charged, ideal * 1.001);
  // What is left of δ, had it been known, gives the same.
  event.delta_slack = 0;
  EXPECT_NEAR(charged, Epsilon(event, 1e-5 - (1 + std::exp(charged)) * 1e-7), 2e-3 * charged);
  event.delta_slack = 6e-6;
  EXPECT_EQ(Epsilon(event, 1e-5), INFINITY);
  event.delta_slack = 1e-3;
  EXPECT_GE(PldDelta({&event, 1}, 1).value(), (1 + std::exp(1.0)) * 1e-3);
}

TEST(PldAccountant, RefusesWhatItCannotAccountFor) {
  const Event good = Gaussian(1, 0.1, 1);
  for (const double delta : {0.0, 1.0, -1.0, 2.0, std::nan("")}) {
    EXPECT_FALSE(PldEpsilon({&good, 1}, delta)) << delta;
  }
  for (const double epsilon : {-0.1, std::nan(""), HUGE_VAL}) {
    EXPECT_FALSE(PldDelta({&good, 1}, epsilon)) << epsilon;
  }
  std::vector<Event> mixed = {good, good};
  mixed[1].neighbours = Neighbours::kReplaceOne;
  EXPECT_EQ(PldEpsilon(mixed, 1e-5).error().code, base::Code::kInvalidArgument);
  const Event faint = Gaussian(0.001, 0.1, 2);
  EXPECT_EQ(PldEpsilon({&faint, 1}, 1e-5).error().code, base::Code::kUnimplemented);
  const PrivacyCost cost = CostAtDelta({&faint, 1}, 1e-5, Accountant::kPld).value();
  EXPECT_EQ(cost.accountant, Accountant::kRdp);
}

TEST(PldAccountant, HostileEventsCostNoTime) {
  Event wide = Gaussian(1e-9, 1, 1);  // sigma 1 for a sensitivity of a billion
  wide.mechanism = Mechanism::kDiscreteGaussian;
  wide.sensitivity = 1e9;
  EXPECT_EQ(PldEpsilon({&wide, 1}, 1e-5).error().code, base::Code::kUnimplemented);
  Event fine = Gaussian(1e6, 1, 1);
  fine.mechanism = Mechanism::kDiscreteGaussian;
  EXPECT_EQ(PldEpsilon({&fine, 1}, 1e-5).error().code, base::Code::kUnimplemented);
  EXPECT_EQ(CostAtDelta({&fine, 1}, 1e-5, Accountant::kPld).value().accountant, Accountant::kRdp);
  std::vector<Event> many;
  for (int i = 0; i < 300; ++i) many.push_back(Gaussian(1 + i * 0.01, 0.5, 1));
  EXPECT_EQ(PldEpsilon(many, 1e-5).error().code, base::Code::kUnimplemented);
  // More steps of rarer losses than any lattice holds.
  const Event rare = Gaussian(0.02, 1e-7, 1'000'000'000'000);
  EXPECT_LE(CostAtDelta({&rare, 1}, 0.1, Accountant::kPld).value().epsilon,
            RdpEpsilon({&rare, 1}, 0.1).value());
  for (const double scale : {1e-9, 1e-3, 1e9}) {
    Event laplace = Gaussian(scale, 0.3, 1'000'000);
    laplace.mechanism = Mechanism::kLaplace;
    EXPECT_GE(Epsilon(laplace, 1e-6), 0);
  }
}

// Tilts that would be needed there overflow.
TEST(PldAccountant, EpsilonsWhoseDeltaNoDoubleHoldsHaveABound) {
  for (const double noise : {2.0, 5.0, 20.0, 200.0}) {
    for (const double rate : {1e-7, 1e-5, 0.01, 0.7}) {
      for (const std::int64_t steps : {1, 63, 1'000'000, 10'000'000}) {
        const Event event = Gaussian(noise, rate, steps);
        for (const double epsilon : {0.1, 1.0, 50.0, 1e4, 1e9}) {
          const double delta = PldDelta({&event, 1}, epsilon).value();
          EXPECT_TRUE(delta > 0 && delta <= 1) << ToJson(event) << epsilon;
        }
      }
    }
  }
}

TEST(PldAccountant, NoDeltaIsAboveTheChanceToBeSampled) {
  for (const double noise : {0.05, 0.3, 1.0}) {
    const Event event = Gaussian(noise, 1e-7, 100);
    EXPECT_LE(PldDelta({&event, 1}, 0).value(), 1.00001e-5) << noise;
    EXPECT_EQ(Epsilon(event, 1.001e-5), 0) << noise;
  }
}

// Neither needs losses on lattices, and so no range of noise.
TEST(PldAccountant, OneSampledReleaseAndLittleToSampleAreToldAtAnyNoise) {
  const double inner = EpsilonOfGaussian(100, std::log(2e-5));
  EXPECT_NEAR(Epsilon(Gaussian(0.01, 0.5, 1), 1e-5), inner + std::log(0.5), 1e-6);
  const Event one = Gaussian(0.01, 0.5, 1);
  EXPECT_NEAR(PldDelta({&one, 1}, inner + std::log(0.5)).value(), 1e-5, 1e-10);
  EXPECT_EQ(Epsilon(Gaussian(1e-6, 0.01, 1), 0.5), 0);
  EXPECT_EQ(Epsilon(Gaussian(1e-6, 0.01, 3), 0.03), 0);
  Event event = Gaussian(1e-6, 0.01, 3);
  event.delta_slack = 0.01;
  EXPECT_EQ(Epsilon(event, 0.05), 0);
  EXPECT_FALSE(PldEpsilon({&event, 1}, 0.03 + 0.019));
}

TEST(RdpOfStep, CoversLaplaceByItsClosedForm) {
  const double orders[] = {1.5, 2, 8, 40};
  for (const double scale : {0.3, 1.0, 6.0}) {
    Event event = Gaussian(scale, 1, 1);
    event.mechanism = Mechanism::kLaplace;
    const std::vector<double> rdp = RdpOfStep(event, orders);
    for (std::size_t i = 0; i < 4; ++i) {
      const double a = orders[i];
      // Mironov 2017, table II.
      const double exact = std::log(a / (2 * a - 1) * std::exp((a - 1) / scale) +
                                    (a - 1) / (2 * a - 1) * std::exp(-a / scale)) /
                           (a - 1);
      EXPECT_GE(rdp[i], exact);
      EXPECT_LE(rdp[i], exact * 1.001 + 1e-9);
    }
  }
}

TEST(RdpOfStep, SaysWhatItDoesNotCover) {
  Event event = Gaussian(1, 0.1, 1);
  event.mechanism = Mechanism::kDiscreteGaussian;
  EXPECT_EQ(RdpEpsilon({&event, 1}, 1e-5).error().code, base::Code::kUnimplemented);
  event.sampling_rate = 1;
  const Event gaussian = Gaussian(1, 1, 1);
  EXPECT_EQ(RdpEpsilon({&event, 1}, 1e-5).value(), RdpEpsilon({&gaussian, 1}, 1e-5).value());
}

TEST(RdpOfStep, FractionalOrdersAreExact) {
  const Event event = Gaussian(2.5, 0.01, 50);
  const double orders[] = {1.5, 2.5};
  const std::vector<double> rdp = ComposedRdp({&event, 1}, orders);
  EXPECT_NEAR(rdp[0], 6.50070897e-4, 1e-12);
  EXPECT_NEAR(rdp[1], 1.08541806e-3, 1e-11);
}

}  // namespace
}  // namespace cloister::dp
