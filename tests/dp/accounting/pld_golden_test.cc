#include <gtest/gtest.h>

#include <cmath>

#include "dp/accounting/accountant.h"
#include "dp/accounting/pld_accountant.h"
#include "dp/accounting/rdp_accountant.h"
#include "tests/dp/accounting/reference_figures.h"

// Against figures of dp-accounting, which are upper bounds themselves: ours may be above them by
// their accuracy and ours, and below only by their discretization of 1e-4 a step.
namespace cloister::dp {
namespace {

TEST(PldGolden, EpsilonsOfSampledGaussians) {
  int rows = 0;
  for (const nlohmann::json& figures : ReferenceFigures()) {
    if (!figures.contains("rows")) continue;
    for (const auto& row : figures.at("rows")) {
      const Event event{row.at("noise_multiplier"), row.at("sampling_rate"), row.at("steps"),
                        *ParseNeighbours(row.at("neighbours").get<std::string>())};
      const double reference = row.at("epsilon_pld");
      const double epsilon = PldEpsilon({&event, 1}, row.at("delta")).value();
      EXPECT_LE(epsilon, 1.005 * reference) << row;
      EXPECT_GE(epsilon, reference - 1e-4) << row;
      EXPECT_LT(epsilon, RdpEpsilon({&event, 1}, row.at("delta")).value()) << row;
      Event zero_out = event;
      zero_out.neighbours = Neighbours::kZeroOut;
      EXPECT_EQ(PldEpsilon({&zero_out, 1}, row.at("delta")).value(), epsilon) << row;
      ++rows;
    }
  }
  EXPECT_GE(rows, 10);
}

TEST(PldGolden, ProfilesOfEveryMechanism) {
  int figures_seen = 0;
  for (const nlohmann::json& figures : ReferenceFigures()) {
    if (!figures.contains("profiles")) continue;
    for (const auto& row : figures.at("profiles")) {
      const std::vector<Event> events = EventsOfProfile(row);
      for (const auto& [key, reference] : row.items()) {
        if (key.rfind("epsilon_at_delta_", 0) == 0) {
          const double epsilon = PldEpsilon(events, std::stod(key.substr(17))).value();
          EXPECT_LE(epsilon, 1.005 * reference.get<double>()) << row << key;
          EXPECT_GE(epsilon, reference.get<double>() - 1e-4) << row << key;
        } else if (key.rfind("delta_at_epsilon_", 0) == 0) {
          const double delta = PldDelta(events, std::stod(key.substr(17))).value();
          EXPECT_NEAR(delta, reference.get<double>(), 0.01 * reference.get<double>() + 1e-12)
              << row << key;
        } else {
          continue;
        }
        ++figures_seen;
      }
    }
  }
  EXPECT_GE(figures_seen, 60);
}

TEST(PldGolden, RelationsAreToldApart) {
  const auto epsilon = [](Neighbours relation) {
    const Event event{1, 0.01, 1000, relation};
    return PldEpsilon({&event, 1}, 1e-5).value();
  };
  const auto near = [](double made, double reference) {
    EXPECT_GE(made, reference - 1e-4);
    EXPECT_LE(made, reference * 1.005);
  };
  near(epsilon(Neighbours::kRemove), 1.828244);
  near(epsilon(Neighbours::kAdd), 1.416672);
  near(epsilon(Neighbours::kReplaceOne), 2.843446);
  EXPECT_EQ(epsilon(Neighbours::kAddOrRemoveOne), epsilon(Neighbours::kRemove));
}

TEST(PldGolden, OneGaussianIsExact) {
  const Event event{1, 1, 1, Neighbours::kAddOrRemoveOne};
  EXPECT_NEAR(PldEpsilon({&event, 1}, 1e-5).value(), 4.377178096, 1e-9);
  // Three of √3 are one of 1.
  const Event three{std::sqrt(3.0), 1, 3, Neighbours::kAddOrRemoveOne};
  EXPECT_NEAR(PldEpsilon({&three, 1}, 1e-5).value(), 4.377178096, 1e-9);
}

TEST(PldGolden, DeltaIsZeroWhereLossesAreBoundedBelowEpsilon) {
  const Event laplace{0.5, 0.2, 3, Neighbours::kAddOrRemoveOne, 0, Mechanism::kLaplace};
  const double most = 3 * std::log(0.8 + 0.2 * std::exp(2.0));
  EXPECT_EQ(PldDelta({&laplace, 1}, most + 1e-9).value(), 0);
  EXPECT_GT(PldDelta({&laplace, 1}, most - 1e-3).value(), 0);
  const Event added{1, 0.1, 10, Neighbours::kAdd};
  EXPECT_EQ(PldDelta({&added, 1}, -10 * std::log1p(-0.1) + 1e-9).value(), 0);
}

TEST(PldGolden, TinyDeltasAreToldByMomentsWhichSaySo) {
  const Event event{1, 0.01, 1000, Neighbours::kAddOrRemoveOne};
  for (const double delta : {1e-13, 1e-20, 1e-30}) {
    const PrivacyCost cost = CostAtDelta({&event, 1}, delta, Accountant::kPld).value();
    EXPECT_EQ(cost.accountant, Accountant::kRdp);
    EXPECT_LE(cost.epsilon, 1.001 * RdpEpsilon({&event, 1}, delta).value());
    // Which calibration by the same accountant relies on.
    const PrivacyCost back = CostAtEpsilon({&event, 1}, cost.epsilon, Accountant::kPld).value();
    EXPECT_EQ(back.accountant, Accountant::kRdp);
    EXPECT_LE(back.delta, delta);
    EXPECT_GE(back.delta, 0.9 * delta);
  }
  EXPECT_EQ(CostAtDelta({&event, 1}, 1e-12, Accountant::kPld).value().accountant, Accountant::kPld);
}

// Common rows, and the slowest of a grid over σ from 0.3 to 200, rates from 1e-7, up to 10^7 steps
// and δ to 1e-30: rare large losses, which need lattices both fine and long. How long they take is
// measured by bench/accounting.py.
TEST(PldGolden, SlowRowsComeToAnEnd) {
  struct Row {
    Event event;
    bool at_delta;
    double value;
  };
  const auto row = [](double noise, double rate, std::int64_t steps, bool at_delta, double value) {
    return Row{{noise, rate, steps, Neighbours::kAddOrRemoveOne}, at_delta, value};
  };
  for (const Row& asked :
       {row(1.1, 0.001, 1000, true, 1e-6), row(1.1, 0.001, 10'000'000, true, 1e-6),
        row(0.5, 1e-6, 100, true, 1e-5), row(0.3, 1e-7, 10'000'000, true, 0.01),
        row(0.5, 1e-7, 1'000'000, true, 1e-8), row(0.8, 1e-5, 1'000'000, true, 1e-30),
        row(0.3, 1e-7, 100, false, 0), row(5, 0.01, 10'000'000, false, 50),
        row(2, 1e-5, 10'000, false, 10), row(200, 0.1, 10'000'000, false, 10)}) {
    ASSERT_TRUE(asked.at_delta ? PldEpsilon({&asked.event, 1}, asked.value)
                               : PldDelta({&asked.event, 1}, asked.value))
        << ToJson(asked.event) << asked.value;
  }
}

}  // namespace
}  // namespace cloister::dp
