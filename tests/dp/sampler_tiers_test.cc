// The first stage of the lattice sampler: its errors against arithmetic of 200 bits, and every tier
// against the one-lane reference.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/math/constants/constants.hpp>
#include <boost/multiprecision/cpp_bin_float.hpp>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <random>
#include <vector>

#include "dp/mechanism/box_muller.h"
#include "dp/mechanism/box_muller_tiers.h"
#include "dp/mechanism/lattice_sampler.h"
#include "tests/dp/rounded_gaussian.h"

namespace cloister::dp {
namespace {

using Wide = boost::multiprecision::number<
    boost::multiprecision::cpp_bin_float<200, boost::multiprecision::digit_base_2>,
    boost::multiprecision::et_off>;

constexpr std::uint64_t kRange = std::uint64_t{1} << 53;
constexpr double kUnit = 0x1p-53;  // what the note states errors in
constexpr double kRadiusError = 3.7;
constexpr double kAngleError = 2.6;

std::mt19937_64 Generator(std::uint64_t seed) {
  std::cout << "seed " << seed << "\n";
  return std::mt19937_64(seed);
}

// All over the range, at both ends, and on both sides of the places where the reductions change
// branch: powers of two times sqrt(1/2) for the logarithm, odd eighths of a turn for the angle.
std::vector<std::uint64_t> Points(std::mt19937_64& random) {
  std::vector<std::uint64_t> points;
  for (int i = 0; i < 3000; ++i) points.push_back(random() >> 11);
  for (int bits = 1; bits <= 52; ++bits) {
    for (int i = 0; i < 8; ++i) {
      const std::uint64_t small = random() >> (64 - bits);
      points.push_back(small);
      points.push_back(kRange - 1 - small);
      points.push_back((kRange / 8 * static_cast<std::uint64_t>(i) + small) % kRange);
      points.push_back((kRange / 8 * static_cast<std::uint64_t>(i) - small) % kRange);
    }
    const auto branch = static_cast<std::uint64_t>(std::ldexp(std::sqrt(0.5), bits + 1));
    for (std::uint64_t near = 0; near < 6 && branch + near >= 3; ++near) {
      points.push_back(branch + near - 3);
    }
  }
  return points;
}

struct Errors {
  double radius = 0;  // relative
  double angle = 0;   // absolute, of cosine and sine
};

template <typename Evaluate>
Errors LargestErrors(const Evaluate& evaluate, std::uint64_t seed) {
  std::mt19937_64 random = Generator(seed);
  Errors largest;
  for (const std::uint64_t point : Points(random)) {
    const FirstStage stage = evaluate(UniformPair{point, point});
    const Wide u = ldexp(Wide(point), -53);
    if (point >= 1) {
      const Wide radius = sqrt(Wide(-2) * log(u));
      const Wide error = abs(Wide(stage.radius) - radius) / radius;
      largest.radius = std::max(largest.radius, static_cast<double>(error));
    }
    const Wide angle = 2 * boost::math::constants::pi<Wide>() * u;
    for (const Wide& error :
         {abs(Wide(stage.cosine) - cos(angle)), abs(Wide(stage.sine) - sin(angle))}) {
      largest.angle = std::max(largest.angle, static_cast<double>(error));
    }
  }
  largest.radius /= kUnit;
  largest.angle /= kUnit;
  return largest;
}

TEST(FirstStage, KeepsItsErrorBounds) {
  const Errors errors = LargestErrors(EvaluatePair, 31);
  std::cout << "radius " << errors.radius << ", cosine and sine " << errors.angle << "\n";
  EXPECT_LT(errors.radius, kRadiusError);
  EXPECT_LT(errors.angle, kAngleError);
}

// Broken variants: a logarithm of seven terms instead of eleven, an angle off by 1e-15.
TEST(FirstStage, AShorterSeriesOrAnotherAngleBreaksThem) {
  const auto shorter = [](UniformPair uniforms) {
    FirstStage stage = EvaluatePair(uniforms);
    stage.cosine += 1e-15 * stage.sine;
    double f = 0;
    int e = 0;
    f = std::frexp(static_cast<double>(uniforms.first), &e);
    const double s = (f - 1) / (f + 1);
    stage.radius *= 1 + std::pow(s, 14) / 15;
    return stage;
  };
  const Errors errors = LargestErrors(shorter, 31);
  EXPECT_GT(errors.radius, kRadiusError);
  EXPECT_GT(errors.angle, kAngleError);
}

std::vector<std::uint64_t> RandomWords(std::size_t blocks, std::mt19937_64& random) {
  std::vector<std::uint64_t> words(blocks * 2 * kPairsInBlock);
  for (std::uint64_t& word : words) {
    word = random();
    // A third of them near 0, near 1, or of the exact quarters.
    switch (random() % 9) {
      case 0:
        word >>= random() % 64;
        break;
      case 1:
        word = ~(word >> (random() % 64));
        break;
      case 2:
        word &= std::uint64_t{7} << 61;
        break;
      default:
        break;
    }
  }
  return words;
}

TEST(SamplerTiers, AgreeBitForBit) {
  constexpr std::size_t kBlocks = 4000;
  std::mt19937_64 random = Generator(32);
  const std::vector<std::uint64_t> words = RandomWords(kBlocks, random);
  for (const double sigma : {16.0, 12345.678, 0x1p24, 0x1p40}) {
    for (const SamplerTier tier : SupportedSamplerTiers()) {
      std::vector<std::int64_t> samples(words.size());
      std::vector<std::uint8_t> undecided(kBlocks);
      BlocksOf(tier)(sigma, words.data(), kBlocks, samples.data(), undecided.data());
      int decided = 0;
      for (std::size_t pair = 0; pair < kBlocks * kPairsInBlock; ++pair) {
        const std::size_t at = pair / kPairsInBlock * 2 * kPairsInBlock + pair % kPairsInBlock;
        const auto one = DecidePair(sigma, {words[at] >> 11, words[at + kPairsInBlock] >> 11});
        const bool open = (undecided[pair / kPairsInBlock] >> (pair % kPairsInBlock) & 1) != 0;
        ASSERT_EQ(open, !one) << SamplerTierName(tier) << " pair " << pair;
        if (!one) continue;
        ++decided;
        ASSERT_EQ(samples[at], one->first) << SamplerTierName(tier) << " pair " << pair;
        ASSERT_EQ(samples[at + kPairsInBlock], one->second) << SamplerTierName(tier);
      }
      EXPECT_GT(decided, 20'000);
      EXPECT_LT(decided, 32'000);  // some were open, so that both cases were compared
    }
  }
}

// With the second stage, and over calls of every size: a stream means the same noise everywhere.
TEST(SamplerTiers, DrawTheSameFromAStream) {
  std::vector<std::int64_t> reference;
  for (const SamplerTier tier : SupportedSamplerTiers()) {
    LatticeSampler sampler(0x1p40, StreamOfSeed(33), tier);
    std::vector<std::int64_t> all;
    for (const std::size_t count : {1u, 15u, 16u, 17u, 2048u, 5000u, 3u}) {
      std::vector<std::int64_t> samples(count);
      sampler.Fill(samples);
      all.insert(all.end(), samples.begin(), samples.end());
    }
    if (reference.empty()) reference = all;
    EXPECT_EQ(all, reference) << SamplerTierName(tier);
  }
}

}  // namespace
}  // namespace cloister::dp
