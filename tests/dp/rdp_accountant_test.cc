#include "dp/accounting/rdp_accountant.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "dp/accounting/rdp_conversion.h"

namespace cloister::dp {
namespace {

nlohmann::json ReadFigures(const std::string& name) {
  std::ifstream file(std::string(CLOISTER_TEST_DATA) + "/accounting/" + name);
  EXPECT_TRUE(file.good()) << name;
  return nlohmann::json::parse(file);
}

Event Gaussian(double noise_multiplier, double sampling_rate, std::int64_t steps) {
  return {noise_multiplier, sampling_rate, steps, Neighbours::kAddOrRemoveOne};
}

double Epsilon(const Event& event, double delta) {
  const auto epsilon = RdpEpsilon(std::span(&event, 1), delta);
  EXPECT_TRUE(epsilon) << (epsilon ? "" : epsilon.error().message);
  return epsilon.value_or(std::nan(""));
}

TEST(RdpAccountant, AgreesWithReferenceAndNeverFallsBelowTheTightFigure) {
  int rows = 0;
  const nlohmann::json figures = ReadFigures("accounting.json");
  for (const auto& row : figures.at("rows")) {
    const Event event = Gaussian(row.at("noise_multiplier"), row.at("sampling_rate"),
                                 row.at("steps").get<std::int64_t>());
    const double epsilon = Epsilon(event, row.at("delta"));
    const double reference = row.at("epsilon_rdp");
    EXPECT_NEAR(epsilon, reference, 0.005 * reference) << row;
    EXPECT_GE(epsilon, row.at("epsilon_pld").get<double>()) << row;
    ++rows;
  }
  EXPECT_EQ(rows, 10);
}

TEST(RdpAccountant, AgreesWithReferenceOrderByOrder) {
  int compared = 0;
  const nlohmann::json figures = ReadFigures("accounting-more.json");
  for (const auto& row : figures.at("rdp")) {
    for (std::size_t i = 0; i < row.at("orders").size(); ++i) {
      const double rdp = RdpOfSampledGaussian(row.at("noise_multiplier"), row.at("sampling_rate"),
                                              row.at("orders")[i]) *
                         row.at("steps").get<double>();
      const double reference = row.at("rdp")[i];
      EXPECT_NEAR(rdp, reference, 1e-9 * reference) << row << " " << i;
      ++compared;
    }
  }
  EXPECT_EQ(compared, 15);
  // Fractional orders.
  EXPECT_NEAR(50 * RdpOfSampledGaussian(2.5, 0.01, 1.5), 6.50070897e-4, 1e-12);
  EXPECT_NEAR(50 * RdpOfSampledGaussian(2.5, 0.01, 2.5), 1.08541806e-3, 1e-11);
}

// Against the integral itself, by Simpson's rule over densities in long double.
long double IntegratedRdp(long double sigma, long double rate, long double alpha) {
  const int points = 40'000;
  const long double low = -20 * sigma;
  const long double high = alpha + 20 * sigma;
  const long double step = (high - low) / points;
  long double excess = 0;
  for (int i = 0; i <= points; ++i) {
    const long double z = low + step * i;
    const long double x = rate * std::expm1((2 * z - 1) / (2 * sigma * sigma));
    const long double weight = i == 0 || i == points ? 1 : (i % 2 == 1 ? 4 : 2);
    excess += weight * std::exp(-z * z / (2 * sigma * sigma)) * std::expm1(alpha * std::log1p(x));
  }
  excess *= step / 3 / (sigma * std::sqrt(2 * std::acos(-1.0L)));
  return std::log1p(excess) / (alpha - 1);
}

TEST(RdpOfSampledGaussian, IsTheIntegral) {
  for (const double sigma : {0.5, 1.0, 4.0}) {
    for (const double rate : {0.001, 0.1, 0.7}) {
      for (const double alpha : {1.05, 1.5, 2.0, 2.5, 3.0, 7.3, 9.0}) {
        const auto expected = static_cast<double>(IntegratedRdp(sigma, rate, alpha));
        EXPECT_NEAR(RdpOfSampledGaussian(sigma, rate, alpha), expected, 1e-8 * expected)
            << sigma << " " << rate << " " << alpha;
      }
    }
  }
}

TEST(RdpOfSampledGaussian, FractionalOrdersLieBetweenTheirNeighbours) {
  for (const double sigma : {0.05, 0.09, 0.1, 0.3, 1.0, 30.0, 200.0}) {
    for (const double rate : {1e-7, 1e-3, 0.5, 0.999}) {
      double before = 0;
      for (int tenth = 11; tenth < 140; ++tenth) {
        const double alpha = tenth / 10.0;
        const double rdp = RdpOfSampledGaussian(sigma, rate, alpha);
        ASSERT_GE(rdp, before * (1 - 1e-9)) << sigma << " " << rate << " " << alpha;
        before = rdp;
      }
      // (α - 1) D is convex with value 0 at 1: the chord from 2 to 4 bounds order 3, and 2.5.
      const auto moment = [&](double a) { return (a - 1) * RdpOfSampledGaussian(sigma, rate, a); };
      EXPECT_LE(moment(3), (moment(2) + moment(4)) / 2 * (1 + 1e-9));
      EXPECT_LE(moment(2.5), (moment(2) + moment(3)) / 2 * (1 + 1e-9));
    }
  }
}

// Second-order expansion for little noise in the ratio: q²α/(2σ²), where q α / σ is tiny.
TEST(RdpOfSampledGaussian, KeepsItsDigitsAtTinyRates) {
  const double rate = 1e-7;
  const double sigma = 200;
  for (const double alpha : {1.01, 1.5, 2.0, 3.0}) {
    const double expected = rate * rate * alpha / 2 * std::expm1(1 / (sigma * sigma));
    EXPECT_NEAR(RdpOfSampledGaussian(sigma, rate, alpha), expected, 1e-5 * expected) << alpha;
  }
}

TEST(RdpAccountant, IsFiniteAndMonotoneEverywhere) {
  for (const double rate : {1e-7, 1e-4, 0.01, 0.3, 1.0}) {
    for (const double delta : {1e-30, 1e-10, 1e-5}) {
      for (const std::int64_t steps : {1, 1000, 10'000'000}) {
        double before = std::numeric_limits<double>::infinity();
        for (const double sigma : {0.3, 0.5, 1.0, 3.0, 20.0, 200.0}) {
          const double epsilon = Epsilon(Gaussian(sigma, rate, steps), delta);
          ASSERT_TRUE(std::isfinite(epsilon)) << sigma << " " << rate << " " << steps;
          ASSERT_GE(epsilon, 0);
          EXPECT_LE(epsilon, before) << "more noise";
          before = epsilon;
        }
      }
    }
  }
  for (const double sigma : {0.6, 2.0}) {
    EXPECT_LE(Epsilon(Gaussian(sigma, 0.01, 100), 1e-5), Epsilon(Gaussian(sigma, 0.02, 100), 1e-5));
    EXPECT_LE(Epsilon(Gaussian(sigma, 0.01, 100), 1e-5), Epsilon(Gaussian(sigma, 0.01, 101), 1e-5));
    EXPECT_LE(Epsilon(Gaussian(sigma, 0.01, 100), 1e-5), Epsilon(Gaussian(sigma, 0.01, 100), 1e-6));
  }
}

TEST(RdpAccountant, DeltaIsTheInverseOfEpsilon) {
  const Event event = Gaussian(1.1, 0.01, 1000);
  const double epsilon = Epsilon(event, 1e-5);
  EXPECT_NEAR(*RdpDelta(std::span(&event, 1), epsilon), 1e-5, 1e-10);
  double before = 1;
  for (int quarter = 0; quarter < 24; ++quarter) {
    const double target = quarter / 4.0;
    const double delta = *RdpDelta(std::span(&event, 1), target);
    EXPECT_LE(delta, before);
    before = delta;
  }
  // The exact δ of one Gaussian release at ε = 1, σ = 1 (Balle, Wang 2018, Theorem 8).
  const Event one = Gaussian(1, 1, 1);
  EXPECT_GE(*RdpDelta(std::span(&one, 1), 1), 0.12693673750664397);
}

TEST(RdpAccountant, SlackIsPaidFromDelta) {
  Event event = Gaussian(1.1, 0.01, 1000);
  const double plain = Epsilon(event, 1e-5);
  event.delta_slack = 1e-18;
  EXPECT_GE(Epsilon(event, 1e-5), plain);
  EXPECT_NEAR(Epsilon(event, 1e-5), plain, 1e-9);
  event.delta_slack = 5e-7;
  const double paid = Epsilon(event, 1e-5);
  EXPECT_GT(paid, plain * 1.001);
  // What the definition asks: the ideal run's δ at that ε, plus both laws' distances, is within δ.
  Event ideal = event;
  ideal.delta_slack = 0;
  EXPECT_LE(*RdpDelta(std::span(&ideal, 1), paid) + (1 + std::exp(paid)) * 5e-7, 1e-5);
  EXPECT_NEAR(*RdpDelta(std::span(&event, 1), paid), 1e-5, 1e-9);
  event.delta_slack = 1e-5;
  EXPECT_TRUE(std::isinf(Epsilon(event, 1e-5)));
}

TEST(RdpAccountant, ComposesEventsOfOneRelationOnly) {
  std::vector<Event> events = {Gaussian(1.1, 0.01, 400), Gaussian(1.1, 0.01, 600)};
  EXPECT_NEAR(*RdpEpsilon(events, 1e-5), Epsilon(Gaussian(1.1, 0.01, 1000), 1e-5), 1e-12);
  events[1].neighbours = Neighbours::kZeroOut;
  EXPECT_EQ(RdpEpsilon(events, 1e-5).error().code, base::Code::kInvalidArgument);
  events[0].neighbours = Neighbours::kZeroOut;
  EXPECT_NEAR(*RdpEpsilon(events, 1e-5), Epsilon(Gaussian(1.1, 0.01, 1000), 1e-5), 1e-12);
  events[0].neighbours = events[1].neighbours = Neighbours::kReplaceOne;
  const auto refused = RdpEpsilon(events, 1e-5);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::kUnimplemented);
  EXPECT_NE(refused.error().message.find("replace-one"), std::string::npos);
}

TEST(RdpAccountant, RefusesWhatIsNoEventOrDelta) {
  const Event good = Gaussian(1, 0.1, 1);
  for (const double delta : {0.0, 1.0, -1.0, 2.0, std::nan("")}) {
    EXPECT_FALSE(RdpEpsilon(std::span(&good, 1), delta)) << delta;
  }
  for (const Event& bad : {Gaussian(0, 0.1, 1), Gaussian(-1, 0.1, 1),
                           Gaussian(std::nan(""), 0.1, 1), Gaussian(1, 0, 1), Gaussian(1, 1.1, 1),
                           Gaussian(1, 0.1, 0), Gaussian(1, 0.1, -4), Gaussian(INFINITY, 0.1, 1)}) {
    EXPECT_EQ(RdpEpsilon(std::span(&bad, 1), 1e-5).error().code, base::Code::kInvalidArgument);
  }
}

}  // namespace
}  // namespace cloister::dp
