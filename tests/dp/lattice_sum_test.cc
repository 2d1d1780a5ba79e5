#include "dp/mechanism/lattice_sum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <thread>

namespace cloister::dp {
namespace {

constexpr std::int64_t kDimension = 10'000;

std::vector<float> Numbers(std::uint64_t seed, double size) {
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal(0, size);
  std::vector<float> values(kDimension);
  for (float& value : values) value = static_cast<float>(normal(random));
  return values;
}

// What llrint makes of every product, added up in 64 bits.
std::vector<std::int64_t> Expected(const std::vector<std::vector<float>>& summands, double scale) {
  std::vector<std::int64_t> sum(kDimension);
  for (const auto& values : summands) {
    for (std::size_t i = 0; i < sum.size(); ++i) {
      sum[i] += std::llrint(static_cast<double>(values[i]) * scale);
    }
  }
  return sum;
}

TEST(LatticeSum, AddsRoundedNumbersExactly) {
  std::vector<std::vector<float>> summands;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) summands.push_back(Numbers(seed, 0.3));
  for (const double scale : {0.9, 1e3, 0x1p23}) {
    LatticeSum sum(kDimension);
    for (const auto& values : summands) sum.AddRounded(0, values, scale);
    EXPECT_EQ(sum.All(), Expected(summands, scale));
    // The comparison sees one unit in one place.
    sum.Add(kDimension - 1, std::vector<std::int64_t>{1});
    EXPECT_NE(sum.All(), Expected(summands, scale));
  }
  LatticeSum halves(4);
  halves.AddRounded(0, std::vector<double>{0.5, 1.5, -0.5, 2.5}, 1);
  EXPECT_EQ(halves.All(), (std::vector<std::int64_t>{0, 2, 0, 2}));
}

// Nothing of what a sum held shows in the next one.
TEST(LatticeSum, MemoryIsUsedAgainAllZero) {
  for (const bool large : {false, true}) {
    for (const std::int64_t dimension : {kDimension, kDimension - 1, std::int64_t{5'000'000}}) {
      LatticeSum spare(dimension);
      spare.AddRounded(0, std::vector<float>(static_cast<std::size_t>(dimension), 3.0F), 1);
      if (large) spare.Add(1, std::vector<std::int64_t>{std::int64_t{1} << 40});
      const std::int32_t* const memory = spare.Memory();
      LatticeSum sum(kDimension, std::move(spare));
      EXPECT_EQ(sum.Memory() == memory, dimension == kDimension);
      EXPECT_EQ(sum.All(), std::vector<std::int64_t>(kDimension, 0));
      sum.Add(2, std::vector<std::int64_t>{-(std::int64_t{1} << 41)});
      EXPECT_EQ(sum.All()[2], -(std::int64_t{1} << 41));
    }
  }
  LatticeSum wide(5'000'000);
  wide.AddRounded(0, std::vector<float>(5'000'000, 3.0F), 1);
  EXPECT_EQ(LatticeSum(5'000'000, std::move(wide)).All(), std::vector<std::int64_t>(5'000'000, 0));
  LatticeSum moved(3);
  const LatticeSum taken = std::move(moved);
  // What it is about. NOLINTNEXTLINE(bugprone-use-after-move,clang-analyzer-cplusplus.Move)
  EXPECT_EQ(LatticeSum(3, std::move(moved)).All(), std::vector<std::int64_t>(3, 0));
}

TEST(LatticeSum, ReadsScaledWhatItReads) {
  LatticeSum sum(kDimension);
  sum.AddRounded(0, Numbers(31, 0.3), 0x1p23);
  for (const bool large : {false, true}) {
    if (large) sum.Add(7, std::vector<std::int64_t>{std::int64_t{1} << 40});
    std::vector<std::int64_t> points(kDimension - 3);
    std::vector<float> single(points.size());
    std::vector<double> wide(points.size());
    sum.Read(3, points);
    sum.ReadScaled(3, 0x1.8p-20, single);
    sum.ReadScaled(3, 0x1.8p-20, wide);
    for (std::size_t i = 0; i < points.size(); ++i) {
      ASSERT_EQ(wide[i], static_cast<double>(points[i]) * 0x1.8p-20);
      ASSERT_EQ(single[i], static_cast<float>(wide[i]));
    }
  }
}

// Beyond 32 bits, in both directions, and back.
TEST(LatticeSum, CarriesWhatPassesItsSmallWords) {
  const std::vector<float> large(kDimension, 1.0F);
  LatticeSum sum(kDimension);
  for (int i = 0; i < 100; ++i) sum.AddRounded(0, large, i < 70 ? 0x1p26 : -0x1p25);
  const std::int64_t expected = 70 * (std::int64_t{1} << 26) - 30 * (std::int64_t{1} << 25);
  ASSERT_GT(expected, std::int64_t{1} << 31);
  EXPECT_EQ(sum.All(), std::vector<std::int64_t>(kDimension, expected));
  std::vector<std::int64_t> noise(kDimension);
  for (std::size_t i = 0; i < noise.size(); ++i) {
    noise[i] = (i % 2 == 0 ? 1 : -1) * (std::int64_t{1} << 59) + static_cast<std::int64_t>(i);
  }
  sum.Add(0, noise);
  for (std::int64_t& value : noise) value += expected;
  EXPECT_EQ(sum.All(), noise);
}

TEST(LatticeSum, ClampsOnBothSidesInSmallWordsAndInLarge) {
  constexpr std::int64_t kLarge = std::int64_t{1} << 40;
  for (const bool large : {false, true}) {
    LatticeSum sum(5000);
    sum.Add(0, std::vector<std::int64_t>{7, -7, 8, -8});
    sum.Add(4998, std::vector<std::int64_t>{large ? kLarge : 9, large ? -kLarge : -9});
    sum.Clamp(7);
    std::vector<std::int64_t> expected(5000, 0);
    const std::vector<std::int64_t> first = {7, -7, 7, -7};
    std::copy(first.begin(), first.end(), expected.begin());
    expected[4998] = 7;
    expected[4999] = -7;
    EXPECT_EQ(sum.All(), expected);
  }
  LatticeSum sum(2);
  sum.Add(0, std::vector<std::int64_t>{kLarge, -3 * kLarge});
  sum.Clamp(2 * kLarge);
  EXPECT_EQ(sum.All(), (std::vector<std::int64_t>{kLarge, -2 * kLarge}));
}

TEST(LatticeSum, BoundsEverySummand) {
  const double infinity = std::numeric_limits<double>::infinity();
  LatticeSum sum(5);
  sum.AddRounded(0, std::vector<double>{1e300, -1e300, infinity, std::nan(""), 0}, 1);
  const std::int64_t most = std::int64_t{1} << 26;
  EXPECT_EQ(sum.All(), (std::vector<std::int64_t>{most, -most, most, -most, 0}));
}

TEST(LatticeSum, SumOfPartsIsTheSumOfAll) {
  const std::vector<float> a = Numbers(31, 2.0), b = Numbers(32, 2.0), c = Numbers(33, 2.0);
  LatticeSum all(kDimension), left(kDimension), right(kDimension);
  for (const auto* values : {&a, &b, &c}) all.AddRounded(0, *values, 0x1p25);
  right.AddRounded(0, c, 0x1p25);
  left.AddRounded(0, b, 0x1p25);
  left.AddRounded(0, a, 0x1p25);
  left.Add(right);
  EXPECT_EQ(left.All(), all.All());
}

TEST(LatticeSum, ThreadsOnRangesOfTheirOwnAddTheSame) {
  LatticeSum together(kDimension), alone(kDimension);
  const std::vector<float> values(kDimension / 4, 1.0F);
  const auto add = [&](LatticeSum& sum, std::int64_t part) {
    for (int i = 0; i < 100; ++i) sum.AddRounded(part * kDimension / 4, values, 0x1p26 * 0.9);
  };
  std::vector<std::thread> threads;
  for (std::int64_t part = 0; part < 4; ++part)
    threads.emplace_back([&, part] { add(together, part); });
  for (std::thread& thread : threads) thread.join();
  for (std::int64_t part = 0; part < 4; ++part) add(alone, part);
  EXPECT_EQ(together.All(), alone.All());
}

}  // namespace
}  // namespace cloister::dp
