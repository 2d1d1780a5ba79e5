#include "dp/mechanism/lattice_sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <iostream>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "dp/mechanism/box_muller.h"
#include "tests/dp/rounded_gaussian.h"

namespace cloister::dp {
namespace {

constexpr MoreBits kNone = {0, 0, 0, 0, 0, 0, 0, 0};
constexpr MoreBits kAll = {~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL};

std::vector<std::int64_t> Draw(double sigma, std::size_t count, std::uint8_t seed) {
  std::vector<std::int64_t> samples(count);
  LatticeSampler(sigma, StreamOfSeed(seed)).Fill(samples);
  return samples;
}

// Uniforms as the sampler draws them, and ones at the ends of the range, where Box–Muller is steep.
std::vector<UniformPair> HardUniforms() {
  constexpr std::uint64_t kRange = std::uint64_t{1} << 53;
  constexpr std::uint64_t kSeed = 20;
  std::cout << "seed " << kSeed << "\n";
  std::mt19937_64 random(kSeed);
  std::vector<UniformPair> pairs;
  for (int i = 0; i < 20'000; ++i) pairs.push_back({random() >> 11, random() >> 11});
  for (int bits = 1; bits <= 52; ++bits) {
    for (int i = 0; i < 4; ++i) {
      const std::uint64_t small = random() >> (64 - bits);
      pairs.push_back({small, random() >> 11});
      pairs.push_back({kRange - 1 - small, random() >> 11});
      pairs.push_back({random() >> 11, small});
      pairs.push_back({random() >> 11, kRange - 1 - small});
      pairs.push_back({random() >> 11, (kRange / 4 * (i % 4) + small) % kRange});
    }
  }
  return pairs;
}

// What the error bound promises: where fp64 decides, every continuation of the bits agrees.
TEST(BoxMuller, DecidesOnlyWhatFurtherBitsCannotChange) {
  int decided = 0;
  int undecided = 0;
  const std::vector<UniformPair> uniforms = HardUniforms();
  for (std::size_t i = 0; i < uniforms.size(); i += i < 20'000 ? 80 : 1) {
    for (const double sigma : {16.0, 1e5, 0x1p40}) {
      const auto fast = DecidePair(sigma, uniforms[i]);
      if (!fast) {
        ++undecided;
        continue;
      }
      ++decided;
      for (const auto& [first, second] : {std::pair(kNone, kNone), std::pair(kAll, kNone),
                                          std::pair(kNone, kAll), std::pair(kAll, kAll)}) {
        ASSERT_EQ(*fast, ExactPair(sigma, uniforms[i], first, second))
            << sigma << " " << uniforms[i].first << " " << uniforms[i].second;
      }
    }
  }
  EXPECT_GT(decided, 2000);
  EXPECT_GT(undecided, 100);
}

// The same promise of the second stage, which reads one word of the further bits: all that follow
// agree.
TEST(BoxMuller, TheSecondStageToo) {
  int decided = 0;
  const std::vector<UniformPair> uniforms = HardUniforms();
  std::mt19937_64 random(21);
  for (std::size_t i = 0; i < uniforms.size(); i += i < 20'000 ? 160 : 3) {
    MoreBits first = kNone;
    MoreBits second = kNone;
    first[0] = random();
    second[0] = random();
    const auto middle = DecideMiddlePair(0x1p40, uniforms[i], first, second);
    if (!middle) continue;
    ++decided;
    for (const std::uint64_t rest : {std::uint64_t{0}, ~std::uint64_t{0}}) {
      std::fill(first.begin() + 1, first.end(), rest);
      std::fill(second.begin() + 1, second.end(), ~rest);
      ASSERT_EQ(*middle, ExactPair(0x1p40, uniforms[i], first, second)) << i;
    }
  }
  EXPECT_GT(decided, 200);
}

// Where the 117 bits of the second stage do end on either side of a half: it must leave that open,
// as the bits after them decide.
TEST(BoxMuller, TheSecondStageLeavesOpenWhatLaterBitsDecide) {
  const double sigma = 0x1p40;
  UniformPair uniforms{static_cast<std::uint64_t>(std::ldexp(std::exp(-0.5), 53)), 0};
  const auto first_number = [&](const MoreBits& more) {
    return ExactPair(sigma, uniforms, more, kNone).first;
  };
  // A step of 2^-53 that crosses a half: U2 = 0, so that the number is sigma times the radius.
  while (DecidePair(sigma, uniforms) || first_number(kNone) == first_number(kAll)) ++uniforms.first;
  // The last word at which it has not crossed: the crossing is among the bits after it.
  std::uint64_t low = 0;
  std::uint64_t high = ~std::uint64_t{0};
  const std::int64_t before = first_number(kNone);
  while (high - low > 1) {
    const std::uint64_t middle = low + (high - low) / 2;
    MoreBits more = kNone;
    more[0] = middle;
    (first_number(more) == before ? low : high) = middle;
  }
  MoreBits least = kNone;
  MoreBits most = kAll;
  least[0] = most[0] = low;
  ASSERT_NE(first_number(least), first_number(most));
  EXPECT_FALSE(DecideMiddlePair(sigma, uniforms, least, kNone));
  EXPECT_FALSE(DecideMiddlePair(sigma, uniforms, most, kNone));
}

// The broken variant: fp64 alone, without the bound, gets some of the same pairs wrong.
TEST(BoxMuller, DoublesAloneAreWrongSometimes) {
  const double sigma = 0x1p40;
  int wrong = 0;
  const std::vector<UniformPair> uniforms = HardUniforms();
  for (std::size_t i = 0; i < uniforms.size(); i += 20) {
    if (uniforms[i].first == 0) continue;
    const double u1 = std::ldexp(static_cast<double>(uniforms[i].first), -53);
    const double u2 = std::ldexp(static_cast<double>(uniforms[i].second), -53);
    const double value = sigma * std::sqrt(-2 * std::log(u1)) * std::cos(2 * M_PI * u2);
    wrong += std::llround(value) != ExactPair(sigma, uniforms[i], kAll, kAll).first ? 1 : 0;
  }
  EXPECT_GT(wrong, 5);
}

TEST(BoxMuller, MatchesKnownPoints) {
  // U1 = e^(-1/2) has radius 1; U2 = 0 has angle 0.
  const auto u1 = static_cast<std::uint64_t>(std::ldexp(std::exp(-0.5), 53));
  EXPECT_EQ(ExactPair(1e6, {u1, 0}, kNone, kNone), GaussianPair(1'000'000, 0));
  const std::uint64_t quarter = std::uint64_t{1} << 51;
  EXPECT_EQ(ExactPair(1e6, {u1, quarter}, kNone, kNone), GaussianPair(0, 1'000'000));
  EXPECT_EQ(ExactPair(1e6, {u1, 2 * quarter}, kNone, kNone), GaussianPair(-1'000'000, 0));
  // The farthest that 565 bits reach: sqrt(2 * 565 ln 2) standard deviations.
  const double farthest = std::sqrt(2 * 565 * std::log(2.0));
  EXPECT_NEAR(static_cast<double>(ExactPair(1e6, {0, 0}, kNone, kNone).first), farthest * 1e6, 1);
}

TEST(LatticeSampler, IsTheRoundedGaussian) {
  for (const double sigma : {16.0, 37.25, 1e5, 0x1p40}) {
    for (const std::uint8_t seed : {1, 2}) {
      SCOPED_TRACE("sigma " + std::to_string(sigma) + ", seed " + std::to_string(seed));
      const std::vector<std::int64_t> samples = Draw(sigma, 200'000, seed);
      EXPECT_EQ(FindDeviation(samples, sigma), "");
    }
  }
}

TEST(LatticeSampler, HasTheGaussianTails) {
  const double sigma = 1e5;
  const std::vector<std::int64_t> samples = Draw(sigma, 4'000'000, 3);
  for (const double reach : {3.0, 4.0, 4.5}) {
    const auto beyond = std::count_if(samples.begin(), samples.end(), [&](std::int64_t sample) {
      return std::abs(static_cast<double>(sample)) > reach * sigma;
    });
    const double expected = std::erfc(reach / std::sqrt(2)) * static_cast<double>(samples.size());
    EXPECT_NEAR(static_cast<double>(beyond), expected, 5 * std::sqrt(expected) + 1) << reach;
  }
}

TEST(LatticeSampler, FillsEveryCellOfACoarseLattice) {
  const double sigma = 16;
  const std::vector<std::int64_t> samples = Draw(sigma, 1'000'000, 4);
  double chi_squared = 0;
  int cells = 0;
  for (std::int64_t n = -40; n <= 40; ++n) {
    const auto seen = static_cast<double>(std::count(samples.begin(), samples.end(), n));
    const double expected =
        static_cast<double>(samples.size()) * (RoundedCdf(n, sigma) - RoundedCdf(n - 1, sigma));
    chi_squared += (seen - expected) * (seen - expected) / expected;
    ++cells;
  }
  // Normal approximation, five standard deviations.
  EXPECT_LT(chi_squared, cells + 5 * std::sqrt(2.0 * cells));
}

TEST(LatticeSampler, ConsecutiveSamplesAreUncorrelated) {
  const double sigma = 1000;
  const std::vector<std::int64_t> samples = Draw(sigma, 400'000, 5);
  for (const std::size_t lag : {1u, 2u, 3u, 2048u}) {
    double sum = 0;
    for (std::size_t i = 0; i + lag < samples.size(); ++i) {
      sum += static_cast<double>(samples[i]) * static_cast<double>(samples[i + lag]);
    }
    const auto count = static_cast<double>(samples.size() - lag);
    EXPECT_LT(std::abs(sum / (sigma * sigma * count)), 5 / std::sqrt(count)) << lag;
  }
}

TEST(LatticeSampler, OddCountsAndRepeatedCallsGiveFreshNoise) {
  LatticeSampler sampler(1e6, StreamOfSeed(6));
  std::vector<std::int64_t> first(7);
  std::vector<std::int64_t> second(7);
  sampler.Fill(first);
  sampler.Fill(second);
  sampler.Fill({});
  EXPECT_NE(first, second);
  EXPECT_NE(first.back(), 0);
  EXPECT_NE(Draw(1e6, 7, 6), Draw(1e6, 7, 7));
  EXPECT_EQ(Draw(1e6, 7, 6), first);  // a seed is a seed
}

// What FindDeviation must catch: a sampler of nothing, of a little less, of another shape.
TEST(FindDeviation, FindsBrokenSamplers) {
  const double sigma = 1e5;
  const std::vector<std::int64_t> good = Draw(sigma, 200'000, 1);
  const auto broken = [&](const std::function<double(double)>& change) {
    std::vector<std::int64_t> samples;
    for (const std::int64_t sample : good) {
      samples.push_back(std::llround(change(static_cast<double>(sample))));
    }
    return FindDeviation(samples, sigma);
  };
  EXPECT_NE(broken([](double) { return 0.0; }), "");                        // noise off
  EXPECT_NE(broken([](double x) { return 0.98 * x; }), "");                 // two per cent short
  EXPECT_NE(broken([](double x) { return x + 2000; }), "");                 // biased
  EXPECT_NE(broken([&](double x) { return x > 0 ? sigma : -sigma; }), "");  // right variance only
  EXPECT_EQ(broken([](double x) { return x; }), "");
}

}  // namespace
}  // namespace cloister::dp
