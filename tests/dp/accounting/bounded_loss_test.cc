#include "dp/accounting/bounded_loss.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "dp/accounting/accountant.h"
#include "dp/accounting/pld_accountant.h"
#include "dp/accounting/rdp_accountant.h"
#include "dp/accounting/rdp_conversion.h"

namespace cloister::dp {
namespace {

Event Added(double noise, double rate, std::int64_t steps) {
  return {noise, rate, steps, Neighbours::kAdd};
}

double Epsilon(const std::vector<Event>& events, double delta, Accountant accountant) {
  const auto made = CostAtDelta(events, delta, accountant);
  EXPECT_TRUE(made) << made.error().message;
  return made ? made->epsilon : std::nan("");
}

double Delta(const std::vector<Event>& events, double epsilon, Accountant accountant) {
  const auto made = CostAtEpsilon(events, epsilon, accountant);
  EXPECT_TRUE(made) << made.error().message;
  return made ? made->delta : std::nan("");
}

// At such noise a unit that is sampled is seen for certain, so that without it the loss is
// -log(1 - rate) a step but for less than 1e-100 of probability: δ(ε) is 1 - e^ε (1 - rate)^steps.
TEST(AddedUnits, CostWhatTheyDoAtLittleNoise) {
  for (const double noise : {1e-9, 0.005, 0.01, 0.0199, 0.02, 0.05}) {
    for (const auto& [rate, steps] : {std::pair(0.01, 1000), {0.3, 3}, {1e-6, 10'000'000}}) {
      const std::vector<Event> events = {Added(noise, rate, steps)};
      const double largest = -static_cast<double>(steps) * std::log1p(-rate);
      for (const double delta : {1e-12, 1e-5, 0.1}) {
        const double exact = largest + std::log1p(-delta);
        const double epsilon = Epsilon(events, delta, Accountant::kPld);
        EXPECT_GE(epsilon, exact * (1 - 1e-12)) << noise << " " << rate << " " << delta;
        EXPECT_LE(epsilon, exact * (1 + 2e-4)) << noise << " " << rate << " " << delta;
        EXPECT_GE(Epsilon(events, delta, Accountant::kRdp), exact * (1 - 1e-12));
        EXPECT_LE(Epsilon(events, delta, Accountant::kRdp), largest * (1 + 1e-2) + 1e-2);
      }
      for (const double part : {0.0, 0.5, 0.9}) {
        const double exact = -std::expm1((part - 1) * largest);
        const double delta = Delta(events, part * largest, Accountant::kPld);
        EXPECT_GE(delta, exact * (1 - 1e-12)) << noise << " " << rate << " " << part;
        EXPECT_LE(delta, exact * (1 + 1e-6)) << noise << " " << rate << " " << part;
        EXPECT_GE(Delta(events, part * largest, Accountant::kRdp), exact * (1 - 1e-12));
      }
      EXPECT_EQ(Delta(events, largest * 1.01, Accountant::kPld), 0);
    }
  }
}

// Exact figures by mpmath at 40 digits: one step of noise 0.6 at rate 0.3 after a hundred as above.
TEST(AddedUnits, ComposeLittleNoiseWithMore) {
  const std::vector<Event> events = {Added(0.01, 0.01, 100), Added(0.6, 0.3, 1)};
  struct Row {
    double epsilon;
    double delta;
  };
  for (const Row& row : {Row{1.1, 0.119939479909104}, Row{1.2, 0.0609564320808249},
                         Row{1.3, 0.0129513354264788}, Row{1.35, 0.000490090060421545}}) {
    const double delta = Delta(events, row.epsilon, Accountant::kPld);
    EXPECT_TRUE(delta >= row.delta && delta <= 1.005 * row.delta) << row.epsilon << " " << delta;
  }
  for (const Row& row : {Row{1.35932233903565, 1e-5}, Row{1.30843676817848, 1e-2}}) {
    const double epsilon = Epsilon(events, row.delta, Accountant::kPld);
    EXPECT_TRUE(epsilon >= row.epsilon && epsilon <= 1.002 * row.epsilon) << epsilon;
  }
  // Below what a hundred such steps come to there is a bound, and not a tight one.
  EXPECT_GE(Delta(events, 0.5, Accountant::kPld), 0.460486729644043);
  EXPECT_GE(Epsilon(events, 0.2, Accountant::kPld), 0.970393596396014);
}

TEST(AddedUnits, CostNoLessAtLessNoise) {
  for (const double delta : {1e-9, 1e-5, 0.2}) {
    double last = 0;
    for (const double noise : {0.3, 0.1, 0.05, 0.021, 0.02, 0.0199, 0.01, 0.005, 1e-6}) {
      const double epsilon = Epsilon({Added(noise, 0.01, 1000)}, delta, Accountant::kPld);
      EXPECT_GE(epsilon, last * (1 - 1e-12)) << noise << " " << delta;
      last = epsilon;
    }
  }
}

// The slack is taken from δ first, as of any event.
TEST(AddedUnits, PayForSlackAtLittleNoise) {
  Event event = Added(0.01, 0.01, 10);
  const double without = Epsilon({event}, 0.05, Accountant::kPld);
  event.delta_slack = 0.01;
  const double with = Epsilon({event}, 0.05, Accountant::kPld);
  const double largest = -10 * std::log1p(-0.01);
  EXPECT_GE(with, largest + std::log1p(-(0.05 - (1 + std::exp(with)) * 0.01)));
  EXPECT_GT(with, without);
}

// A removed or replaced unit's losses are unbounded: nothing is shifted there.
TEST(AddedUnits, AreTheOnlyOnesWithBoundedLosses) {
  for (const Neighbours relation :
       {Neighbours::kRemove, Neighbours::kAddOrRemoveOne, Neighbours::kZeroOut}) {
    const Event event{0.01, 0.01, 10, relation};
    EXPECT_EQ(PldEpsilon({&event, 1}, 1e-5).error().code, base::Code::kUnimplemented);
    EXPECT_GT(Epsilon({event}, 1e-5, Accountant::kPld), 1000);
  }
  const Event replaced{0.01, 0.01, 10, Neighbours::kReplaceOne};
  EXPECT_FALSE(CostAtDelta({&replaced, 1}, 1e-5, Accountant::kPld));
  const Event always = Added(0.01, 1, 10);
  EXPECT_GT(Epsilon({always}, 1e-5, Accountant::kPld), 1000);
  // A discrete Gaussian that is too large to list has noise enough: its largest loss says nothing.
  Event wide = Added(1e6, 0.01, 1000);
  wide.mechanism = Mechanism::kDiscreteGaussian;
  EXPECT_FALSE(PldEpsilon({&wide, 1}, 1e-5));
}

TEST(RdpOfStep, IsAtMostTheLargestLossOfAnAddition) {
  const double orders[] = {1.5, 8, 400};
  const Event event = Added(0.05, 0.1, 1);
  for (const double rdp : RdpOfStep(event, orders)) {
    EXPECT_NEAR(rdp, -std::log1p(-0.1), 1e-10);
    EXPECT_GE(rdp, -std::log1p(-0.1));
  }
  // A removal's is far above.
  const Event removed{0.05, 0.1, 1, Neighbours::kAddOrRemoveOne};
  for (const double rdp : RdpOfStep(removed, orders)) EXPECT_GT(rdp, 100);
}

}  // namespace
}  // namespace cloister::dp
