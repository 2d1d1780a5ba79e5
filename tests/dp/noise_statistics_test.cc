// Tries to break what is claimed of the noise: its moments, its tails, and that no two of the rows
// that ranks, steps and restarts draw have anything to do with each other. Each check is shown to
// find a sampler that breaks it.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "dp/mechanism/lattice_sampler.h"
#include "tests/dp/rounded_gaussian.h"

namespace cloister::dp {
namespace {

using Row = std::vector<std::int64_t>;

Row Draw(double sigma, std::size_t count, std::uint8_t seed) {
  Row row(count);
  LatticeSampler(sigma, StreamOfSeed(seed)).Fill(row);
  return row;
}

// The first four moments in standard units, each against its own standard error.
std::string FindMomentOff(const Row& row, double sigma) {
  const auto count = static_cast<double>(row.size());
  const double deviation = std::sqrt(sigma * sigma + 1.0 / 12);  // Sheppard
  std::array<double, 4> sums{};
  for (const std::int64_t n : row) {
    const double z = static_cast<double>(n) / deviation;
    double power = 1;
    for (double& sum : sums) sum += power *= z;
  }
  // E z^k and the variance of z^k: 0, 1, 0, 3 and 1, 2, 15, 96.
  constexpr std::array<double, 4> kMean = {0, 1, 0, 3};
  constexpr std::array<double, 4> kVariance = {1, 2, 15, 96};
  for (std::size_t k = 0; k < sums.size(); ++k) {
    if (std::abs(sums[k] / count - kMean[k]) > 5 * std::sqrt(kVariance[k] / count)) {
      return "moment " + std::to_string(k + 1) + " is " + std::to_string(sums[k] / count);
    }
  }
  return "";
}

TEST(NoiseMoments, AreTheGaussians) {
  for (const double sigma : {16.0, 0x1p24}) {
    EXPECT_EQ(FindMomentOff(Draw(sigma, 4'000'000, 51), sigma), "") << sigma;
  }
}

TEST(NoiseMoments, FindBrokenNoise) {
  const double sigma = 16;
  const Row good = Draw(sigma, 1'000'000, 52);
  const auto broken = [&](const std::function<std::int64_t(std::int64_t)>& change) {
    Row row;
    std::transform(good.begin(), good.end(), std::back_inserter(row), change);
    return FindMomentOff(row, sigma);
  };
  EXPECT_EQ(broken([](std::int64_t n) { return n; }), "");
  // Down in place of to the nearest for two fifths: one sample in five is one less.
  int turn = 0;
  EXPECT_NE(broken([&](std::int64_t n) { return ++turn % 5 == 0 ? n - 1 : n; }), "");
  EXPECT_NE(broken([](std::int64_t n) { return std::clamp<std::int64_t>(n, -48, 48); }), "");
  EXPECT_NE(broken([](std::int64_t n) { return n > 32 ? n + 1 : n; }), "");  // one heavier side
  // Two uniforms' sum of the same variance: right in mean and variance, not in the fourth moment.
  const Row other = Draw(sigma, good.size(), 53);
  Row triangle;
  for (std::size_t i = 0; i < good.size(); ++i) {
    const double u = std::erf(static_cast<double>(good[i]) / sigma * M_SQRT1_2);
    const double v = std::erf(static_cast<double>(other[i]) / sigma * M_SQRT1_2);
    triangle.push_back(std::llround(sigma * std::sqrt(1.5) * (u + v)));
  }
  EXPECT_NE(FindMomentOff(triangle, sigma), "");
}

// How many samples lie beyond each reach, on each side, against a Poisson count; 2^26 samples, so
// that 19 a side are expected beyond five standard deviations.
std::string FindTailOff(double sigma, std::uint8_t seed, const std::function<void(Row&)>& change) {
  constexpr std::array<double, 4> kReaches = {4, 4.5, 5, 5.25};
  constexpr std::size_t kCount = std::size_t{1} << 26;
  LatticeSampler sampler(sigma, StreamOfSeed(seed));
  Row row(std::size_t{1} << 16);
  std::array<std::array<double, 4>, 2> beyond{};
  for (std::size_t done = 0; done < kCount; done += row.size()) {
    sampler.Fill(row);
    change(row);
    for (const std::int64_t n : row) {
      const double z = std::abs(static_cast<double>(n)) / sigma;
      if (z <= kReaches.front()) continue;
      for (std::size_t r = 0; r < kReaches.size(); ++r) {
        if (z > kReaches[r]) beyond[n < 0 ? 1 : 0][r] += 1;
      }
    }
  }
  for (std::size_t side = 0; side < 2; ++side) {
    for (std::size_t r = 0; r < kReaches.size(); ++r) {
      const double expected = std::erfc(kReaches[r] * M_SQRT1_2) / 2 * static_cast<double>(kCount);
      // Poisson tails within four standard deviations and a count: under 1e-4 each, seeds are
      // fixed.
      if (std::abs(beyond[side][r] - expected) > 4 * std::sqrt(expected) + 1) {
        return std::to_string(beyond[side][r]) + " beyond " + std::to_string(kReaches[r]) +
               " where " + std::to_string(expected) + " are expected";
      }
    }
  }
  return "";
}

TEST(NoiseTails, ReachPastFiveStandardDeviations) {
  EXPECT_EQ(FindTailOff(0x1p24, 54, [](Row&) {}), "");
}

TEST(NoiseTails, FindATruncatedTail) {
  // What uniforms of 17 bits would do: sqrt(2 * 17 ln 2) = 4.85 standard deviations at most.
  const auto farthest = static_cast<std::int64_t>(4.85 * 0x1p24);
  EXPECT_NE(FindTailOff(0x1p24, 54,
                        [&](Row& row) {
                          for (std::int64_t& n : row) n = std::clamp(n, -farthest, farthest);
                        }),
            "");
}

// Whether two rows have to do with each other: linearly, in their squares, in how their sum and
// difference are distributed, or by holding the same values anywhere. For sigma so large that two
// independent rows share next to none.
std::string FindDependence(const Row& a, const Row& b, double sigma) {
  const std::size_t count = std::min(a.size(), b.size());
  double product = 0;
  double squares = 0;
  Row sums;
  Row differences;
  for (std::size_t i = 0; i < count; ++i) {
    const double x = static_cast<double>(a[i]) / sigma;
    const double y = static_cast<double>(b[i]) / sigma;
    product += x * y;
    squares += (x * x - 1) * (y * y - 1);
    sums.push_back(a[i] + b[i]);
    differences.push_back(a[i] - b[i]);
  }
  const double error = 5 / std::sqrt(static_cast<double>(count));
  if (std::abs(product / static_cast<double>(count)) > error) return "correlated";
  if (std::abs(squares / static_cast<double>(count)) > 2 * error) return "correlated in size";
  if (!FindDeviation(sums, sigma * M_SQRT2).empty()) return "sums are off";
  if (!FindDeviation(differences, sigma * M_SQRT2).empty()) return "differences are off";
  Row sorted_a = a;
  Row sorted_b = b;
  std::sort(sorted_a.begin(), sorted_a.end());
  std::sort(sorted_b.begin(), sorted_b.end());
  Row common;
  std::set_intersection(sorted_a.begin(), sorted_a.end(), sorted_b.begin(), sorted_b.end(),
                        std::back_inserter(common));
  // Expected: count^2 / (2 sqrt(pi) sigma), below 0.01 here.
  if (common.size() > 2) return std::to_string(common.size()) + " values in common";
  return "";
}

constexpr double kWide = 0x1p38;
constexpr std::size_t kCount = 50'000;

Row FromSystem() {
  Row row(kCount);
  LatticeSampler(kWide, security::AesCtrStream::FromSystem()).Fill(row);
  return row;
}

TEST(NoiseIndependence, HoldsBetweenStepsOfOneSampler) {
  LatticeSampler sampler(kWide, StreamOfSeed(55));
  std::vector<Row> steps(4, Row(kCount));
  for (Row& step : steps) sampler.Fill(step);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) EXPECT_EQ(FindDependence(steps[i], steps[j], kWide), "");
  }
}

// Ranks and restarted runs key their streams anew from the operating system.
TEST(NoiseIndependence, HoldsBetweenRanksAndRestarts) {
  const Row first_rank = FromSystem();
  const Row second_rank = FromSystem();
  const Row restarted = FromSystem();
  // The false alarm rate of fresh randomness is that of the common values and of moments at 5
  // standard errors, about 1e-5: one more draw before it counts.
  for (const Row* other : {&second_rank, &restarted}) {
    if (FindDependence(first_rank, *other, kWide).empty()) continue;
    EXPECT_EQ(FindDependence(FromSystem(), FromSystem(), kWide), "");
  }
}

TEST(NoiseIndependence, HoldsBetweenNeighboursWithinARow) {
  const Row row = Draw(kWide, kCount + 64, 56);
  // 8: first and second number of a pair; 16: a block.
  for (const std::ptrdiff_t lag : {1, 2, 8, 16, 64}) {
    const Row a(row.begin(), row.end() - lag);
    const Row b(row.begin() + lag, row.end());
    double product = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      product += static_cast<double>(a[i]) / kWide * (static_cast<double>(b[i]) / kWide);
    }
    EXPECT_LT(std::abs(product), 5 * std::sqrt(static_cast<double>(a.size()))) << lag;
  }
}

TEST(NoiseIndependence, FindsNoiseThatIsDrawnTwice) {
  const Row row = Draw(kWide, kCount, 57);
  const Row other = Draw(kWide, kCount, 58);
  EXPECT_EQ(FindDependence(row, other, kWide), "");
  // The same seed on two ranks.
  EXPECT_EQ(FindDependence(row, Draw(kWide, kCount, 57), kWide), "correlated");
  // A restart that replays its stream from another place.
  LatticeSampler replaying(kWide, StreamOfSeed(57));
  Row skipped(2 * kPairsInBlock * 100);
  replaying.Fill(skipped);
  Row late(kCount);
  replaying.Fill(late);
  EXPECT_NE(FindDependence(row, late, kWide), "");
  // Antithetic noise; the same sizes under other signs; a tenth of another rank's noise.
  Row mirrored;
  Row other_signs;
  Row leaking;
  for (std::size_t i = 0; i < kCount; ++i) {
    mirrored.push_back(-row[i]);
    other_signs.push_back(other[i] < 0 ? -row[i] : row[i]);
    leaking.push_back(other[i] + row[i] / 10);
  }
  EXPECT_EQ(FindDependence(row, mirrored, kWide), "correlated");
  EXPECT_EQ(FindDependence(row, other_signs, kWide), "correlated in size");
  EXPECT_EQ(FindDependence(row, leaking, kWide), "correlated");
}

}  // namespace
}  // namespace cloister::dp
