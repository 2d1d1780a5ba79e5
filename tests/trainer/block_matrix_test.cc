// Frozen weights in blocks: the numbers that they stand for on every tier of this processor, how
// they come about, and the products that read them tile by tile.
#include "trainer/networks/block_matrix.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <random>

#include "trainer/networks/block_kernels.h"
#include "trainer/networks/frozen_linear.h"
#include "trainer/networks/nf4.h"

namespace cloister::trainer {
namespace {

using model::DataType;

constexpr BaseWeights kFormats[] = {BaseWeights::kQ8_0, BaseWeights::kQ4_0, BaseWeights::kNf4};

// Random bits, with scales that are finite: of both signs, zero, and below the normal halves.
std::vector<std::byte> RandomBlocks(std::int64_t count, std::int64_t bytes) {
  std::printf("seed 5\n");
  std::mt19937 random(5);
  std::vector<std::byte> blocks(static_cast<std::size_t>(count * bytes));
  for (std::byte& one : blocks) one = static_cast<std::byte>(random());
  for (std::int64_t i = 0; i < count; ++i) {
    std::byte* const block = blocks.data() + i * bytes;
    if (bytes == kNf4Bytes) {
      const float largest =
          std::ldexp(1.0F + 0.1F * static_cast<float>(i), static_cast<int>(i) - 9);
      std::memcpy(block, &largest, sizeof largest);
    } else {
      constexpr std::uint16_t kScales[] = {0x3c00, 0xb555, 0x0001, 0x83ff, 0x7bff, 0x0000, 0x8000};
      std::memcpy(block, &kScales[i % 7], sizeof kScales[0]);
    }
  }
  return blocks;
}

std::vector<float> Nf4Numbers(const std::vector<std::byte>& blocks) {
  std::vector<float> numbers;
  for (std::size_t at = 0; at < blocks.size(); at += kNf4Bytes) {
    float largest;
    std::memcpy(&largest, blocks.data() + at, sizeof largest);
    for (std::size_t i = 0; i < kNf4Block; ++i) {
      const auto pair = static_cast<std::size_t>(blocks[at + 4 + i % 32]);
      numbers.push_back(kNf4Levels[i < 32 ? pair & 15 : pair >> 4] * largest);
    }
  }
  return numbers;
}

std::vector<std::uint32_t> Bits(const std::vector<float>& numbers) {
  std::vector<std::uint32_t> bits;
  for (const float number : numbers) bits.push_back(std::bit_cast<std::uint32_t>(number));
  return bits;
}

constexpr std::int64_t kCount = 21;

void ExpectOnEveryTier(const std::vector<std::byte>& blocks, const std::vector<float>& numbers,
                       BlockKernels<float>::Dequantize BlockKernels<float>::*wide,
                       BlockKernels<Bf16>::Dequantize BlockKernels<Bf16>::*narrow) {
  for (const RowTier tier : SupportedRowTiers()) {
    std::vector<float> got(numbers.size());
    (BlockKernelsOf<float>(tier).*wide)(blocks.data(), kCount, got.data());
    EXPECT_EQ(Bits(got), Bits(numbers)) << "tier " << static_cast<int>(tier);
    std::vector<Bf16> rounded(numbers.size());
    (BlockKernelsOf<Bf16>(tier).*narrow)(blocks.data(), kCount, rounded.data());
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      ASSERT_EQ(rounded[i].bits, model::FloatToBFloat16(numbers[i])) << i;
    }
  }
}

TEST(BlockKernels, AreTheFilesNumbersToTheBit) {
  for (const DataType type : {DataType::kQ8_0, DataType::kQ4_0}) {
    const auto blocks = RandomBlocks(kCount, model::BlockBytes(type));
    std::vector<float> numbers(static_cast<std::size_t>(kCount * model::BlockSize(type)));
    model::Dequantize(type, blocks.data(), numbers.data(), kCount * model::BlockSize(type));
    const bool eight = type == DataType::kQ8_0;
    ExpectOnEveryTier(blocks, numbers,
                      eight ? &BlockKernels<float>::q8_0 : &BlockKernels<float>::q4_0,
                      eight ? &BlockKernels<Bf16>::q8_0 : &BlockKernels<Bf16>::q4_0);
  }
}

TEST(BlockKernels, ReadNf4sLevels) {
  const auto blocks = RandomBlocks(kCount, kNf4Bytes);
  ExpectOnEveryTier(blocks, Nf4Numbers(blocks), &BlockKernels<float>::nf4,
                    &BlockKernels<Bf16>::nf4);
}

std::vector<float> ThroughNf4(const std::vector<float>& from) {
  std::vector<std::byte> blocks(from.size() / kNf4Block * kNf4Bytes);
  QuantizeNf4(from, blocks.data());
  return Nf4Numbers(blocks);
}

TEST(Nf4, GivesEachWeightTheNearestLevel) {
  std::printf("seed 9\n");
  std::mt19937 random(9);
  std::normal_distribution<float> normal;
  std::vector<float> from(20 * kNf4Block);
  for (float& one : from) one = normal(random);
  const std::vector<float> got = ThroughNf4(from);
  for (std::size_t i = 0; i < from.size(); ++i) {
    float largest = 0;
    for (std::size_t k = i / kNf4Block * kNf4Block; k < (i / kNf4Block + 1) * kNf4Block; ++k) {
      largest = std::max(largest, std::fabs(from[k]));
    }
    float best = kNf4Levels[0];
    for (const float level : kNf4Levels) {
      if (std::fabs(from[i] - level * largest) < std::fabs(from[i] - best * largest)) best = level;
    }
    EXPECT_NEAR(got[i], best * largest, 1e-6) << i;
  }
}

TEST(Nf4, KeepsWhatStandsOnALevelAndTheSmallestAndZero) {
  std::vector<float> on_levels, tiny, zero(kNf4Block, 0.0F);
  for (std::size_t i = 0; i < kNf4Block; ++i) {
    on_levels.push_back(kNf4Levels[i % 16] * 3.5F);
    tiny.push_back(i % 2 == 0 ? 0x1p-149F : -0x1p-149F);
  }
  EXPECT_EQ(ThroughNf4(on_levels), on_levels);
  EXPECT_EQ(ThroughNf4(tiny), tiny);
  EXPECT_EQ(ThroughNf4(zero), zero);
}

// Levels are quantiles of the normal distribution, asymmetric with a zero: as the paper derives
// them (appendix E): of eight that are positive and seven that are negative, and 0.
TEST(Nf4, LevelsAreTheNormalDistributionsQuantiles) {
  const auto quantile = [](double p) {
    return std::sqrt(2.0) * at::erfinv(at::tensor(2 * p - 1, at::kDouble)).item<double>();
  };
  constexpr double kOffset = 0.9677083;
  for (std::size_t i = 0; i < 8; ++i) {
    const double upper = quantile(kOffset + (0.5 - kOffset) * static_cast<double>(i) / 8);
    EXPECT_NEAR(kNf4Levels[15 - i], upper / quantile(kOffset), 1e-6);
  }
  for (std::size_t i = 0; i < 7; ++i) {
    const double lower = quantile(kOffset + (0.5 - kOffset) * static_cast<double>(i) / 7);
    EXPECT_NEAR(kNf4Levels[i], -lower / quantile(kOffset), 1e-6);
  }
  EXPECT_EQ(kNf4Levels[7], 0.0F);
}

// A matrix in somebody's memory.
struct Stored {
  std::vector<std::byte> bytes;
  model::TensorView view;

  Stored(DataType type, const std::vector<float>& numbers, std::int64_t columns) {
    const auto count = static_cast<std::int64_t>(numbers.size());
    bytes.resize(
        static_cast<std::size_t>(count / model::BlockSize(type) * model::BlockBytes(type)));
    model::Quantize(type, numbers.data(), bytes.data(), count);
    view.type = type;
    view.shape = {count / columns, columns};
    view.data = bytes;
  }
};

std::vector<float> Normal(std::int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> numbers(static_cast<std::size_t>(count));
  for (float& one : numbers) one = normal(random);
  return numbers;
}

std::vector<float> AllOf(const BlockMatrix& matrix) {
  const at::Tensor all = matrix.Rows(0, matrix.rows(), at::kFloat);
  return {all.const_data_ptr<float>(), all.const_data_ptr<float>() + all.numel()};
}

BlockMatrix Made(const std::vector<model::TensorView>& views, BaseWeights format) {
  return BlockMatrix::Quantize(std::vector<std::string>(views.size(), "w"), views, format).value();
}

TEST(BlockMatrix, KeepsTheVeryBlocksOfAFile) {
  const std::vector<float> numbers = Normal(20 * 64, 1);
  const Stored q4(DataType::kQ4_0, numbers, 64), q8(DataType::kQ8_0, numbers, 64);
  for (const BaseWeights format : kFormats) {
    EXPECT_EQ(AllOf(Made({q4.view}, format)), model::ToFloat(q4.view));
  }
  EXPECT_EQ(AllOf(Made({q8.view}, BaseWeights::kQ8_0)), model::ToFloat(q8.view));
  // Eight bits become four where these are asked for.
  EXPECT_NE(AllOf(Made({q8.view}, BaseWeights::kQ4_0)), model::ToFloat(q8.view));
  EXPECT_EQ(Made({q4.view}, BaseWeights::kQ8_0).bytes(), 20 * 2 * 18);
  EXPECT_EQ(Made({q8.view}, BaseWeights::kNf4).bytes(), 20 * 36);
}

TEST(BlockMatrix, StacksTensorsOfDifferentFormats) {
  const Stored first(DataType::kQ4_0, Normal(5 * 64, 1), 64);
  const Stored second(DataType::kF32, Normal(7 * 64, 2), 64);
  const Stored third(DataType::kQ8_0, Normal(3 * 64, 3), 64);
  const BlockMatrix matrix = Made({first.view, second.view, third.view}, BaseWeights::kQ8_0);
  ASSERT_EQ(matrix.rows(), 15);
  std::vector<float> expected = model::ToFloat(first.view);
  const std::vector<float> quantized = AllOf(Made({second.view}, BaseWeights::kQ8_0));
  const std::vector<float> kept = model::ToFloat(third.view);
  expected.insert(expected.end(), quantized.begin(), quantized.end());
  expected.insert(expected.end(), kept.begin(), kept.end());
  EXPECT_EQ(AllOf(matrix), expected);
  const at::Tensor all = matrix.Rows(0, 15, at::kFloat);
  for (const std::int64_t row : {0, 4, 5, 11, 12, 14}) {  // on both sides of each seam
    EXPECT_TRUE(at::equal(matrix.Rows(row, 1, at::kFloat)[0], all[row])) << row;
  }
  EXPECT_TRUE(at::equal(matrix.Rows(3, 11, at::kBFloat16), all.narrow(0, 3, 11).to(at::kBFloat16)));
  const at::Tensor ids = at::tensor({14, 0, 5, 5}, at::kLong).view({2, 2});
  EXPECT_TRUE(at::equal(matrix.Lookup(ids, at::kFloat), at::embedding(all, ids)));
}

TEST(BlockMatrix, NarrowRowsHaveNf4sSizeInSmallerBlocks) {
  const Stored stored(DataType::kF32, Normal(4 * 96, 1), 96);  // one block and a half
  const BlockMatrix matrix = Made({stored.view}, BaseWeights::kNf4);
  EXPECT_EQ(AllOf(matrix), AllOf(Made({stored.view}, BaseWeights::kQ4_0)));
  EXPECT_FALSE(BlockMatrix::Holds(48));
}

TEST(BlockMatrix, RefusesWeightsThatNoScaleHolds) {
  std::vector<float> numbers = Normal(64, 1);
  numbers[3] = 1e8F;
  const Stored stored(DataType::kF32, numbers, 64);
  for (const BaseWeights format : {BaseWeights::kQ8_0, BaseWeights::kQ4_0}) {
    const auto made = BlockMatrix::Quantize({"layer.weight"}, {stored.view}, format);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, base::Code::kInvalidArgument);
    EXPECT_THAT(made.error().message, testing::HasSubstr("layer.weight"));
  }
  EXPECT_EQ(AllOf(Made({stored.view}, BaseWeights::kNf4))[3], 1e8F);
}

// Of several tiles with a rest: 2^18 numbers to a tile at most.
TEST(BlockProducts, AreThoseOfTheDenseMatrix) {
  constexpr std::int64_t kRows = 1100, kColumns = 512, kTokens = 7;
  const Stored stored(DataType::kF32, Normal(kRows * kColumns, 4), kColumns);
  at::manual_seed(4);
  for (const BaseWeights format : kFormats) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      LinearWeights linear;
      linear.blocks = std::make_shared<const BlockMatrix>(Made({stored.view}, format));
      linear.bias = at::randn({kRows});
      const at::Tensor dense = linear.blocks->Rows(0, kRows, type).to(at::kDouble);
      const at::Tensor x = at::randn({2, kTokens, kColumns}).to(type).requires_grad_();
      const at::Tensor g = at::randn({2, kTokens, kRows}).to(type);
      const at::Tensor y = Linear(x, linear);
      const at::Tensor expected =
          at::linear(x.detach().to(at::kDouble), dense, linear.bias.to(type).to(at::kDouble));
      const double tolerance = type == at::kFloat ? 2e-6 : 0x1p-7;
      const auto error = [](const at::Tensor& a, const at::Tensor& b) {
        return ((a.to(at::kDouble) - b).norm() / b.norm()).item<double>();
      };
      EXPECT_LT(error(y.detach(), expected), tolerance);
      const at::Tensor back = torch::autograd::grad({y}, {x}, {g})[0];
      EXPECT_EQ(back.scalar_type(), type);
      EXPECT_LT(error(back, at::matmul(g.to(at::kDouble), dense)), tolerance);
      // A tile that is left out shows.
      const at::Tensor less =
          at::matmul(g.to(at::kDouble).narrow(-1, 0, 1024), dense.narrow(0, 0, 1024));
      EXPECT_GT(error(back, less), 10 * tolerance);
    }
  }
}

}  // namespace
}  // namespace cloister::trainer
