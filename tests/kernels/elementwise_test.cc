#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/kernels.h"
#include "tests/kernels/random_data.h"

namespace cloister::kernels::cpu {
namespace {

constexpr double kBound = 0x1p-20;
constexpr std::int64_t kSizes[] = {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 576};

class ElementwiseTest : public testing::TestWithParam<Tier> {
 protected:
  const Kernels& kernels() { return **Select(GetParam()); }
};

struct Blocks {
  std::vector<std::int8_t> values;
  std::vector<float> scales;
  std::vector<float> sums;
};

Blocks QuantizeWith(const Kernels& kernels, const std::vector<float>& x) {
  const std::size_t blocks = x.size() / kActivationBlock;
  Blocks made{std::vector<std::int8_t>(x.size()), std::vector<float>(blocks),
              std::vector<float>(blocks)};
  kernels.quantize(x.data(), static_cast<std::int64_t>(x.size()), made.values.data(),
                   made.scales.data(), made.sums.data());
  return made;
}

TEST_P(ElementwiseTest, QuantizedActivationsLieWithinHalfAStep) {
  RandomData random(11);
  std::vector<float> x = random.Floats(32 * 50);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t block = i / 32;
    x[i] *= std::exp2(static_cast<float>(block) - 25.0f);
  }
  const Blocks blocks = QuantizeWith(kernels(), x);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float scale = blocks.scales[i / 32];
    EXPECT_NEAR(x[i], scale * blocks.values[i], 0.5001f * scale);
    EXPECT_GE(blocks.values[i], -127);
  }
  for (std::size_t b = 0; b < blocks.sums.size(); ++b) {
    int sum = 0;
    for (std::size_t i = 0; i < 32; ++i) sum += blocks.values[b * 32 + i];
    EXPECT_EQ(blocks.sums[b], blocks.scales[b] * static_cast<float>(sum));
  }
}

TEST_P(ElementwiseTest, QuantizedActivationsAreTheScalarTiersBits) {
  RandomData random(12);
  std::vector<float> x = random.Floats(32 * 200);
  for (std::size_t i = 0; i < 32; ++i) x[i] = 0;
  for (std::size_t i = 32; i < 64; ++i) x[i] = static_cast<float>(i) - 47.5f;  // ties
  x[40] = 127.0f;
  for (std::size_t i = 64; i < 96; ++i) x[i] = 1e-38f;
  const Blocks expected = QuantizeWith(**Select(Tier::kScalar), x);
  const Blocks actual = QuantizeWith(kernels(), x);
  EXPECT_EQ(actual.values, expected.values);
  EXPECT_EQ(actual.scales, expected.scales);
  EXPECT_EQ(actual.sums, expected.sums);
  EXPECT_EQ(expected.scales[0], 0.0f);
  EXPECT_EQ(expected.scales[2], 0.0f);
}

TEST_P(ElementwiseTest, ANonFiniteActivationShowsInItsBlock) {
  for (const float bad :
       {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
        std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> x(64, 1.0f);
    x[37] = bad;
    const Blocks blocks = QuantizeWith(kernels(), x);
    EXPECT_FALSE(std::isnan(blocks.scales[0]));
    EXPECT_TRUE(std::isnan(blocks.scales[1]));
    EXPECT_TRUE(std::isnan(blocks.sums[1]));
  }
}

TEST_P(ElementwiseTest, DotAndAxpy) {
  RandomData random(13);
  for (const std::int64_t size : kSizes) {
    const std::vector<float> a = random.Floats(size);
    std::vector<float> b = random.Floats(size);
    double sum = 0;
    double magnitude = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      sum += static_cast<double>(a[i]) * b[i];
      magnitude += std::fabs(static_cast<double>(a[i]) * b[i]);
    }
    EXPECT_NEAR(kernels().dot(a.data(), b.data(), size), sum, magnitude * kBound);
    const std::vector<float> before = b;
    kernels().axpy(0.75f, a.data(), b.data(), size);
    for (std::size_t i = 0; i < a.size(); ++i) {
      EXPECT_NEAR(b[i], before[i] + 0.75 * a[i], 4 * kBound);
    }
  }
}

TEST_P(ElementwiseTest, RmsNorm) {
  RandomData random(14);
  for (const std::int64_t size : kSizes) {
    const std::vector<float> x = random.Floats(size);
    const std::vector<float> weight = random.Floats(size);
    std::vector<float> to(x.size());
    kernels().rms_norm(x.data(), weight.data(), 1e-5f, size, to.data());
    double squares = 0;
    for (const float value : x) squares += static_cast<double>(value) * value;
    const double inverse = 1 / std::sqrt(squares / static_cast<double>(size) + 1e-5);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double expected = x[i] * inverse * weight[i];
      EXPECT_NEAR(to[i], expected, std::fabs(expected) * kBound + 1e-30);
    }
  }
}

TEST_P(ElementwiseTest, SoftmaxOfAnySizeAndRange) {
  RandomData random(15);
  for (const std::int64_t size : kSizes) {
    for (const float range : {0.5f, 30.0f, 500.0f}) {
      std::vector<float> x = random.Floats(size);
      for (float& value : x) value *= range;
      const double largest = *std::max_element(x.begin(), x.end());
      double sum = 0;
      for (const float value : x) sum += std::exp(value - largest);
      const std::vector<float> before = x;
      kernels().softmax(x.data(), size);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double expected = std::exp(before[i] - largest) / sum;
        const double bound = expected * kBound * (1 + largest - before[i]);
        EXPECT_NEAR(x[i], expected, bound + 1e-37) << size << " " << range;
      }
    }
  }
}

TEST_P(ElementwiseTest, Rope) {
  RandomData random(16);
  for (const std::int64_t half : {1, 3, 8, 11, 32}) {
    std::vector<float> x = random.Floats(2 * half);
    const std::vector<float> before = x;
    std::vector<float> cosines, sines;
    for (std::int64_t i = 0; i < half; ++i) {
      cosines.push_back(std::cos(static_cast<float>(i) + 0.3f));
      sines.push_back(std::sin(static_cast<float>(i) + 0.3f));
    }
    kernels().rope(x.data(), cosines.data(), sines.data(), half);
    for (std::size_t i = 0; i < cosines.size(); ++i) {
      const double a = before[i];
      const double b = before[i + static_cast<std::size_t>(half)];
      EXPECT_NEAR(x[i], a * cosines[i] - b * sines[i], 4 * kBound);
      EXPECT_NEAR(x[i + static_cast<std::size_t>(half)], b * cosines[i] + a * sines[i], 4 * kBound);
    }
  }
}

TEST_P(ElementwiseTest, SiluMultiplyFromEndToEndOfTheExponential) {
  RandomData random(17);
  for (const std::int64_t size : kSizes) {
    std::vector<float> gate = random.Floats(size);
    for (float& value : gate) value *= 50;  // up to ±100: past where exp overflows
    const std::vector<float> up = random.Floats(size);
    std::vector<float> to(gate.size());
    kernels().silu_multiply(gate.data(), up.data(), size, to.data());
    for (std::size_t i = 0; i < gate.size(); ++i) {
      const double expected = gate[i] / (1 + std::exp(-static_cast<double>(gate[i]))) * up[i];
      const double bound = std::fabs(expected) * kBound * (1 + std::fabs(gate[i]));
      EXPECT_NEAR(to[i], expected, bound + 1e-35) << gate[i];
    }
  }
}

TEST_P(ElementwiseTest, WeightedSumAndItsZeroWeights) {
  RandomData random(18);
  for (const std::int64_t dimension : {1, 7, 16, 24, 64, 80}) {
    for (const std::int64_t queries : {1, 3, 4, 9}) {
      // Rows that are far from each other, so that positions are taken in several pieces.
      for (const std::int64_t stride : {dimension, std::int64_t{1000}}) {
        const std::int64_t positions = random.Integer(1, 80);
        std::vector<float> weights = random.Floats(queries * positions);
        for (std::size_t i = 0; i < weights.size(); i += 3) weights[i] = 0;
        const std::vector<float> values = random.Floats(positions * stride);
        std::vector<float> output(static_cast<std::size_t>(queries * dimension), 7.0f);
        kernels().weighted_sum({weights.data(), positions, queries, values.data(), stride,
                                positions, dimension, output.data(), dimension});
        for (std::int64_t q = 0; q < queries; ++q) {
          for (std::int64_t d = 0; d < dimension; ++d) {
            double sum = 0;
            for (std::int64_t p = 0; p < positions; ++p) {
              sum += static_cast<double>(weights[static_cast<std::size_t>(q * positions + p)]) *
                     values[static_cast<std::size_t>(p * stride + d)];
            }
            EXPECT_NEAR(output[static_cast<std::size_t>(q * dimension + d)], sum, 160 * kBound);
          }
        }
      }
    }
  }
}

// The positions' order is kept across the pieces that they are taken in, and a query's sum does not
// depend on how many others there are: the bits of one query and one position after another.
TEST_P(ElementwiseTest, WeightedSumTakesPositionsInOrder) {
  RandomData random(19);
  constexpr std::int64_t kPositions = 150, kQueries = 7, kDimension = 40, kStride = 576;
  const std::vector<float> weights = random.Floats(kQueries * kPositions);
  const std::vector<float> values = random.Floats(kPositions * kStride);
  std::vector<float> together(kQueries * kDimension), alone(kDimension);
  kernels().weighted_sum({weights.data(), kPositions, kQueries, values.data(), kStride, kPositions,
                          kDimension, together.data(), kDimension});
  for (std::int64_t q = 0; q < kQueries; ++q) {
    std::fill(alone.begin(), alone.end(), 0.0f);
    for (std::int64_t p = 0; p < kPositions; ++p) {
      kernels().axpy(weights[static_cast<std::size_t>(q * kPositions + p)],
                     values.data() + p * kStride, alone.data(), kDimension);
    }
    for (std::int64_t d = 0; d < kDimension; ++d) {
      EXPECT_EQ(together[static_cast<std::size_t>(q * kDimension + d)],
                alone[static_cast<std::size_t>(d)]);
    }
  }
}

TEST_P(ElementwiseTest, SoftmaxFindsTheLargestWhereverItIs) {
  for (const std::int64_t size : {1, 7, 8, 31, 40, 77}) {
    for (std::int64_t at = 0; at < size; ++at) {
      std::vector<float> x(static_cast<std::size_t>(size), -200.0f);
      x[static_cast<std::size_t>(at)] = 150.0f;  // exp overflows unless it is subtracted
      kernels().softmax(x.data(), size);
      for (std::int64_t i = 0; i < size; ++i) {
        EXPECT_EQ(x[static_cast<std::size_t>(i)], i == at ? 1.0f : 0.0f);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tiers, ElementwiseTest, testing::ValuesIn(SupportedTiers()),
                         [](const auto& info) { return std::string(TierName(info.param)); });

TEST(TierTest, NamesAreRead) {
  EXPECT_EQ(*ParseTier("scalar"), Tier::kScalar);
  EXPECT_EQ(*ParseTier("avx2"), Tier::kAvx2);
  const auto unknown = ParseTier("sse");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, base::Code::kInvalidArgument);
  EXPECT_NE(unknown.error().message.find("scalar, avx2"), std::string::npos);
}

TEST(TierTest, TheScalarTierIsAlwaysThereAndTheBestIsSupported) {
  EXPECT_TRUE(Supported(Tier::kScalar));
  EXPECT_TRUE(Supported(BestTier()));
  for (const Tier tier : SupportedTiers()) EXPECT_EQ((*Select(tier))->tier, tier);
}

}  // namespace
}  // namespace cloister::kernels::cpu
