#include "dp/accounting/gaussian_profile.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace cloister::dp {
namespace {

// The textbook formula in 80 bits, which is right where its two terms are not close.
long double Textbook(long double mu, long double epsilon) {
  const auto upper = [](long double x) {
    return std::erfc(x / std::numbers::sqrt2_v<long double>) / 2;
  };
  return upper(epsilon / mu - mu / 2) - std::exp(epsilon) * upper(epsilon / mu + mu / 2);
}

TEST(GaussianProfile, IsTheTextbookFormulaRoundedUp) {
  for (const double mu : {0.01, 0.1, 0.5, 1.0, 3.0, 10.0, 50.0}) {
    for (const double part : {0.0, 0.1, 0.5, 1.0, 2.0, 4.0, 6.0}) {
      const double epsilon = part * mu + mu * mu / 2 * (part > 0);
      const auto expected = static_cast<double>(std::log(Textbook(mu, epsilon)));
      const double made = LogDeltaOfGaussian(mu, epsilon);
      EXPECT_GE(made, expected - 1e-13 * std::abs(expected)) << mu << " " << epsilon;
      EXPECT_LE(made, expected + 1e-9) << mu << " " << epsilon;
    }
  }
}

TEST(GaussianProfile, EpsilonIsTheInverse) {
  for (const double mu : {1e-4, 0.03, 1.0, 30.0, 1e4}) {
    for (const double log_delta : {-0.5, -5.0, -14.0, -70.0, -600.0, -5000.0}) {
      const double epsilon = EpsilonOfGaussian(mu, log_delta);
      EXPECT_LE(LogDeltaOfGaussian(mu, epsilon), log_delta) << mu;
      if (epsilon > 0) {
        EXPECT_GT(LogDeltaOfGaussian(mu, epsilon * (1 - 1e-9)), log_delta) << mu;
      }
    }
  }
  EXPECT_NEAR(EpsilonOfGaussian(1, std::log(1e-5)), 4.377178096, 1e-9);
}

// P - e^ε Q over the half-line where the loss is above ε, in 80 bits; both directions of a sample.
struct OneSampled {
  long double remove = 0;
  long double add = 0;
};

OneSampled DirectlyOfOneSampled(long double mu, long double rate, long double epsilon) {
  const auto upper = [](long double x) {
    return std::erfc(x / std::numbers::sqrt2_v<long double>) / 2;
  };
  const auto end = [&](long double ratio) { return std::log(ratio) / mu + mu / 2; };
  const long double factor = std::exp(epsilon);
  OneSampled made;
  const long double x = end((factor - 1 + rate) / rate);
  made.remove = (1 - rate) * upper(x) + rate * upper(x - mu) - factor * upper(x);
  // The unit's law is shifted up by mu here too; losses of an addition fall with x.
  if (1 / factor > 1 - rate) {
    const long double y = end((1 / factor - 1 + rate) / rate);
    made.add = upper(-y) - factor * ((1 - rate) * upper(-y) + rate * upper(mu - y));
  }
  return made;
}

TEST(GaussianProfile, OneSampledReleaseIsTheDirectFormulaAndAnAdditionNeverMore) {
  int added = 0;
  for (const double mu : {0.02, 0.3, 1.0, 4.0}) {
    for (const double rate : {1e-4, 0.01, 0.3, 0.9, 1.0}) {
      for (const double epsilon : {0.0, 1e-5, 1e-3, 0.1, 1.0, 3.0}) {
        const OneSampled exact = DirectlyOfOneSampled(mu, rate, epsilon);
        const double made = std::exp(LogDeltaOfOneSampled(mu, rate, epsilon));
        EXPECT_LE(static_cast<double>(exact.add), made * (1 + 1e-12) + 1e-17);
        added += exact.add > 0.1L * exact.remove ? 1 : 0;
        if (exact.remove < 1e-12L) continue;  // its terms cancel
        EXPECT_GE(made, static_cast<double>(exact.remove) * (1 - 1e-6)) << mu << " " << rate;
        EXPECT_LE(made, static_cast<double>(exact.remove) * (1 + 1e-6)) << mu << " " << rate;
        const double back = EpsilonOfOneSampled(mu, rate, std::log(made));
        EXPECT_NEAR(back, epsilon, 1e-6 * epsilon + 1e-9) << mu << " " << rate;
        EXPECT_LE(LogDeltaOfOneSampled(mu, rate, back), std::log(made));
      }
    }
  }
  EXPECT_GT(added, 20);
  // Far beyond doubles, and at the rate's own end.
  EXPECT_LT(LogDeltaOfOneSampled(0.5, 1e-7, 50), -5000);
  EXPECT_EQ(EpsilonOfOneSampled(0.5, 1e-7, std::log(1.1e-7)), 0);
  EXPECT_TRUE(std::isfinite(EpsilonOfOneSampled(3, 1e-7, -70)));
}

TEST(GaussianProfile, TailsAndQuantilesAgree) {
  for (const double tail : {0.4, 1e-3, 1e-16, 1e-100, 1e-300}) {
    EXPECT_NEAR(LogNormalUpperTail(NormalUpperQuantile(tail)), std::log(tail), 1e-9);
  }
  EXPECT_NEAR(LogNormalUpperTail(50), -1254.8313611, 1e-6);
}

}  // namespace
}  // namespace cloister::dp
