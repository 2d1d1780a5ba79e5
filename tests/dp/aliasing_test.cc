#include "dp/mechanism/aliasing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "tests/dp/rounded_gaussian.h"

namespace cloister::dp {
namespace {

using Law = std::vector<double>;  // probabilities of -kHalf … kHalf
constexpr int kHalf = 24;

Law RoundedGaussian(double sigma) {
  Law law;
  for (int n = -kHalf; n <= kHalf; ++n) {
    // Of the side where erfc does not cancel.
    law.push_back(n > 0 ? RoundedCdf(-n, sigma) - RoundedCdf(-n - 1, sigma)
                        : RoundedCdf(n, sigma) - RoundedCdf(n - 1, sigma));
  }
  return law;
}

Law Convolve(const Law& a, const Law& b) {
  Law sum(a.size());
  for (int n = -kHalf; n <= kHalf; ++n) {
    for (int k = std::max(-kHalf, n - kHalf); k <= std::min(kHalf, n + kHalf); ++k) {
      sum[n + kHalf] += a[k + kHalf] * b[n - k + kHalf];
    }
  }
  return sum;
}

// The Gaussian of standard deviation `wide` convolved with `shares` unit boxes, at the integers:
// the central difference of its repeated integral J_n, where J_0 is the density, J_1 the
// distribution function and (n - 1) J_n(x) = x J_(n-1)(x) + wide^2 J_(n-2)(x).
Law RandomizedRounding(double wide, int shares) {
  const auto integral = [&](double x) {
    double before = std::exp(-x * x / (2 * wide * wide)) / (wide * std::sqrt(2 * M_PI));
    double last = std::erfc(-x / (wide * std::sqrt(2.0))) / 2;
    for (int n = 2; n <= shares; ++n) {
      before = std::exchange(last, (x * last + wide * wide * before) / (n - 1));
    }
    return last;
  };
  Law law;
  for (int n = -kHalf; n <= kHalf; ++n) {
    double chance = 0;
    double binomial = 1;
    for (int j = 0; j <= shares; ++j) {
      // Even in n: on the negative side the integrals are small.
      chance += binomial * integral(-std::abs(n) + shares / 2.0 - j);
      binomial *= -static_cast<double>(shares - j) / (j + 1);
    }
    law.push_back(chance);
  }
  return law;
}

double TotalVariation(const Law& a, const Law& b) {
  double distance = 0;
  for (std::size_t i = 0; i < a.size(); ++i) distance += std::abs(a[i] - b[i]) / 2;
  return distance;
}

// The law of a sum of rounded Gaussians against the randomized rounding that stands for it,
// exactly, at noise so small that the difference can be seen.
TEST(AliasingBound, BoundsTheExactDistance) {
  for (const int shares : {2, 3}) {
    for (const double sigma : {0.5, 0.625, 0.75, 1.0, 1.25}) {
      SCOPED_TRACE(std::to_string(shares) + " shares, sigma " + std::to_string(sigma));
      const Law one = RoundedGaussian(sigma);
      Law sum = one;
      for (int i = 1; i < shares; ++i) sum = Convolve(sum, one);
      const double wide = sigma * std::sqrt(static_cast<double>(shares));
      const double distance = TotalVariation(sum, RandomizedRounding(wide, shares));
      const double bound = LogAliasingBound(sigma, shares);
      EXPECT_GT(distance, 1e-11) << "there is something to bound";
      EXPECT_LT(std::log(distance), bound);
      // For two the exponent is the true one: the bound may not drift away from the distance.
      if (shares == 2) {
        EXPECT_LT(bound, std::log(distance) + std::log(1e4));
      }
      // The broken variant: a rounded Gaussian of the summed variance does not stand for the sum.
      if (sigma == 1.25) {
        EXPECT_GT(std::log(TotalVariation(sum, RoundedGaussian(wide))), bound);
      }
    }
  }
}

TEST(AliasingBound, ChargesWhatADoubleCanHold) {
  EXPECT_EQ(AliasingBound(16, 1), 0);
  EXPECT_EQ(LogAliasingBound(16, 1), -std::numeric_limits<double>::infinity());
  EXPECT_LT(LogAliasingBound(16, 1024), std::log(10.0) * -585);
  EXPECT_LT(LogAliasingBound(16, 8), LogAliasingBound(16, 9));
  EXPECT_EQ(AliasingBound(16, 8), 1e-300);
  EXPECT_EQ(AliasingBound(1e5, 200), 1e-300) << "never 0: that was not proved";
}

}  // namespace
}  // namespace cloister::dp
