// The one-run bound against its paper's figures, sums made otherwise, and mechanisms whose law is
// known.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "dp/audit/one_run_bound.h"

namespace cloister::dp::audit {
namespace {

double P(std::int64_t canaries, std::int64_t guesses, std::int64_t correct, double epsilon,
         double delta) {
  const auto p = PValue({canaries, guesses, correct}, epsilon, delta);
  EXPECT_TRUE(p) << p.error().message;
  return p.value_or(std::numeric_limits<double>::quiet_NaN());
}

// The law of a binomial by convolving one trial after the other.
std::vector<double> ByConvolution(int trials, double probability) {
  std::vector<double> law = {1};
  for (int trial = 0; trial < trials; ++trial) {
    std::vector<double> next(law.size() + 1);
    for (std::size_t k = 0; k < law.size(); ++k) {
      next[k] += law[k] * (1 - probability);
      next[k + 1] += law[k] * probability;
    }
    law = next;
  }
  return law;
}

double Tail(const std::vector<double>& law, std::size_t from) {
  double sum = 0;
  for (std::size_t k = from; k < law.size(); ++k) sum += law[k];
  return sum;
}

TEST(OneRunPValue, MatchesThePapersAlgorithm) {
  EXPECT_NEAR(P(1000, 1000, 700, 0.5, 1e-5), 1.867556e-4, 0.5e-10);
}

// Made by the paper's algorithm in 40 decimal digits.
TEST(OneRunPValue, MatchesSumsInFortyDigits) {
  struct Row {
    std::int64_t canaries, guesses, correct;
    double epsilon, delta, p;
  };
  const Row rows[] = {
      {1000, 1000, 700, 0.5, 1e-5, 1.867555867980e-04},
      {1000, 100, 95, 2, 1e-5, 1.782463464307e-02},
      {10000, 500, 497, 4, 1e-6, 2.248680667143e-02},
      {5000, 5000, 2600, 0, 0, 2.441824868759e-03},
      {1000000, 1000000, 503000, 0.01, 1e-9, 1.588856511419e-01},
      {1000000, 1000000, 882000, 2, 1e-7, 2.125022539185e-04},
      {20, 10, 10, 1, 0.001, 5.275640918266e-02},
      {1000, 1000, 400, 0.5, 1e-5, 1},
  };
  for (const Row& row : rows) {
    EXPECT_NEAR(P(row.canaries, row.guesses, row.correct, row.epsilon, row.delta) / row.p, 1, 1e-9)
        << row.canaries << " " << row.correct;
  }
}

TEST(OneRunPValue, IsTheBinomialTailWithoutDelta) {
  for (const double epsilon : {0.0, 0.3, 1.0, 4.0}) {
    for (const int guesses : {1, 2, 7, 30}) {
      const auto law = ByConvolution(guesses, 1 / (1 + std::exp(-epsilon)));
      for (int v = 0; v <= guesses; ++v) {
        EXPECT_NEAR(P(40, guesses, v, epsilon, 0), Tail(law, static_cast<std::size_t>(v)), 1e-13);
      }
    }
  }
}

TEST(OneRunPValue, IsTheSteepestSumWithDelta) {
  const int guesses = 12;
  const double epsilon = 0.7;
  const double delta = 1e-3;
  const auto law = ByConvolution(guesses, 1 / (1 + std::exp(-epsilon)));
  for (int v = 0; v <= guesses; ++v) {
    double steepest = 0;
    for (int i = 1; i <= 50; ++i) {
      double sum = 0;
      for (int k = std::max(0, v - i); k < v; ++k) sum += law[static_cast<std::size_t>(k)];
      steepest = std::max(steepest, sum / i);
    }
    const double expected = Tail(law, static_cast<std::size_t>(v)) + 2 * 50 * delta * steepest;
    EXPECT_NEAR(P(50, guesses, v, epsilon, delta), std::min(1.0, expected), 1e-12) << v;
  }
}

// Randomised response that gives the coin away with probability δ is (ε, δ)-DP; nobody who guesses
// what it says does better than the bound, or the bound is wrong.
TEST(OneRunPValue, HoldsForRandomisedResponseThatLeaks) {
  for (const double epsilon : {0.1, 1.0, 3.0}) {
    for (const double delta : {0.0, 1e-4, 1e-2, 0.2}) {
      for (const int canaries : {1, 5, 60}) {
        const double right = delta + (1 - delta) / (1 + std::exp(-epsilon));
        const auto law = ByConvolution(canaries, right);
        for (int v = 0; v <= canaries; ++v) {
          EXPECT_GE(P(canaries, canaries, v, epsilon, delta) * (1 + 1e-12) + 1e-15,
                    Tail(law, static_cast<std::size_t>(v)))
              << epsilon << " " << delta << " " << v;
        }
      }
    }
  }
}

// With δ the whole output at once may be given away: all m guesses are then correct with
// probability δ. A bound without the 2 m δ would not cover it.
TEST(OneRunPValue, CoversAMechanismThatFailsForAllAtOnce) {
  const double delta = 1e-3;
  const auto law = ByConvolution(100, 0.5);
  for (int v = 51; v <= 100; ++v) {
    const double truth = (1 - delta) * Tail(law, static_cast<std::size_t>(v)) + delta;
    EXPECT_GE(P(100, 100, v, 0, delta) * (1 + 1e-12), truth) << v;
  }
  EXPECT_LT(P(100, 100, 100, 0, 0), delta);
}

TEST(OneRunPValue, IsMonotone) {
  for (const double delta : {0.0, 1e-6, 1e-3}) {
    for (const double epsilon : {0.0, 0.5, 2.0, 20.0, 700.0}) {
      double before = 1;
      for (std::int64_t v = 0; v <= 300; v += 3) {
        const double p = P(1000, 300, v, epsilon, 0);
        EXPECT_GE(p, 0);
        EXPECT_LE(p, before * (1 + 1e-12)) << "correct " << v;
        EXPECT_LE(p, P(1000, 300, v, epsilon + 0.1, 0) * (1 + 1e-12)) << "epsilon, " << v;
        EXPECT_LE(P(1000, 300, v, epsilon, delta),
                  P(1000, 300, v, epsilon, 2 * delta) * (1 + 1e-12));
        EXPECT_LE(P(300, 300, v, epsilon, delta), P(600, 300, v, epsilon, delta) * (1 + 1e-12));
        before = p;
      }
    }
  }
}

TEST(OneRunPValue, StaysAProbabilityAtTheEnds) {
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(P(0, 0, 0, 0, 0), 1);
  EXPECT_EQ(P(10, 0, 0, 1, 1e-5), 1);
  EXPECT_EQ(P(10, 10, 0, 1, 0), 1);
  EXPECT_EQ(P(10, 10, 10, infinity, 0), 1);
  EXPECT_EQ(P(10, 10, 10, 0, 1), 1);
  for (const double epsilon : {0.0, 1e-12, 1.0, 40.0, 745.0, 1e6, infinity}) {
    for (const std::int64_t correct :
         {std::int64_t{0}, std::int64_t{500'000}, std::int64_t{999'999}, std::int64_t{1'000'000}}) {
      const double p = P(1'000'000, 1'000'000, correct, epsilon, 1e-9);
      EXPECT_TRUE(p >= 0 && p <= 1) << epsilon << " " << correct << " " << p;
    }
  }
}

TEST(OneRunBound, IsTheLargestRefutedEpsilon) {
  for (const double confidence : {0.5, 0.95, 0.999}) {
    for (const Guesses seen : {Guesses{1000, 1000, 700}, {1000, 100, 93}, {20, 20, 20}}) {
      const double epsilon = EpsilonLowerBound(seen, 1e-5, confidence).value();
      ASSERT_GT(epsilon, 0);
      EXPECT_LE(PValue(seen, epsilon, 1e-5).value(), 1 - confidence);
      EXPECT_GT(PValue(seen, epsilon + 1e-8, 1e-5).value(), 1 - confidence);
    }
  }
}

TEST(OneRunBound, OfPerfectGuessesHasAClosedForm) {
  // q^r = 1 - confidence.
  for (const std::int64_t r : {10, 1000, 1'000'000}) {
    const double q = std::pow(0.05, 1.0 / static_cast<double>(r));
    EXPECT_NEAR(EpsilonLowerBound({r, r, r}, 0, 0.95).value(), std::log(q / (1 - q)), 1e-6) << r;
  }
}

TEST(OneRunBound, IsMonotoneAndZeroForGuessesAtRandom) {
  EXPECT_EQ(EpsilonLowerBound({1000, 1000, 500}, 1e-5, 0.95).value(), 0);
  EXPECT_EQ(EpsilonLowerBound({0, 0, 0}, 0, 0.95).value(), 0);
  double before = 0;
  for (std::int64_t correct = 500; correct <= 1000; correct += 20) {
    const double epsilon = EpsilonLowerBound({1000, 1000, correct}, 1e-5, 0.95).value();
    EXPECT_GE(epsilon, before);
    EXPECT_GE(epsilon, EpsilonLowerBound({1000, 1000, correct}, 1e-5, 0.99).value());
    EXPECT_GE(epsilon, EpsilonLowerBound({1000, 1000, correct}, 1e-4, 0.95).value());
    EXPECT_GE(epsilon, EpsilonLowerBound({2000, 1000, correct}, 1e-5, 0.95).value());
    before = epsilon;
  }
  EXPECT_GT(before, 4);
}

TEST(OneRunBound, RefusesWhatIsNoCount) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const Guesses wrong : {Guesses{10, 11, 5},
                              {10, 5, 6},
                              {10, 5, -1},
                              {-1, -1, -1},
                              {std::int64_t{1} << 40, 10, 5}}) {
    EXPECT_EQ(PValue(wrong, 1, 0).error().code, base::Code::kInvalidArgument);
    EXPECT_EQ(EpsilonLowerBound(wrong, 0, 0.9).error().code, base::Code::kInvalidArgument);
  }
  for (const double wrong : {-0.1, nan}) {
    EXPECT_FALSE(PValue({10, 5, 3}, wrong, 0));
    EXPECT_FALSE(PValue({10, 5, 3}, 1, wrong));
    EXPECT_FALSE(EpsilonLowerBound({10, 5, 3}, wrong, 0.9));
    EXPECT_FALSE(EpsilonLowerBound({10, 5, 3}, 0, wrong));
  }
  EXPECT_FALSE(PValue({10, 5, 3}, 1, 1.5));
  EXPECT_FALSE(EpsilonLowerBound({10, 5, 3}, 0, 0));
  EXPECT_FALSE(EpsilonLowerBound({10, 5, 3}, 0, 1));
}

}  // namespace
}  // namespace cloister::dp::audit
