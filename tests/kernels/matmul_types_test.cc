// What holds for the products of every weight type.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/linear.h"
#include "tests/kernels/random_data.h"

namespace cloister::kernels::cpu {
namespace {

using model::DataType;

std::vector<std::byte> RandomWeights(DataType type, std::int64_t count, RandomData& random) {
  std::vector<std::byte> bytes(
      static_cast<std::size_t>(count / model::BlockSize(type) * model::BlockBytes(type)));
  if (type == DataType::kF8E4M3) {
    for (std::byte& byte : bytes) {
      const int value = random.Integer(0, 255);
      byte = static_cast<std::byte>((value & 127) == 127 ? 126 : value);  // no NaN
    }
  } else {
    model::Quantize(type, random.Floats(count).data(), bytes.data(), count);
  }
  return bytes;
}

// Weights and activations of one product, with the activations in every form.
struct Problem {
  DataType type;
  std::int64_t rows;
  std::int64_t columns;
  std::int64_t tokens;
  std::vector<std::byte> weights;
  std::vector<std::byte> scales;  // of F8: a fp32 for each block
  std::int64_t scale_rows = 0;
  std::int64_t scale_columns = 0;
  Activations input;

  model::TensorView view() const {
    return {type, {rows, columns}, weights, {scales, scale_rows, scale_columns}};
  }
  MatmulArguments arguments() const {
    MatmulArguments a;
    a.weights = weights.data();
    a.row_bytes = view().row_bytes();
    a.rows = rows;
    a.columns = columns;
    a.tokens = tokens;
    a.scales = view().scales;
    a.input = input.row(0);
    a.input_stride = columns;
    a.quantized = input.blocks();
    a.super_blocks = input.super_blocks();
    return a;
  }
};

void Round(Problem& problem, const Kernels& kernels) {
  ThreadPool pool(1);
  problem.input.Prepare(kernels, pool, problem.type);
}

Problem MakeProblem(DataType type, std::int64_t rows, std::int64_t blocks, std::int64_t tokens,
                    RandomData& random) {
  const std::int64_t columns = blocks * std::max<std::int64_t>(32, model::BlockSize(type));
  Problem problem{type, rows, columns, tokens, RandomWeights(type, rows * columns, random)};
  problem.input.Resize(tokens, columns);
  const std::vector<float> x = random.Floats(tokens * columns);
  std::copy(x.begin(), x.end(), problem.input.row(0));
  return problem;
}

std::vector<float> Multiply(const Kernels& kernels, DataType type, MatmulArguments a) {
  std::vector<float> output(static_cast<std::size_t>(a.tokens * a.rows), -1e9f);
  a.output = output.data();
  a.output_stride = a.rows;
  kernels.matmul_for(type)(a);
  return output;
}

MatmulArguments OneToken(MatmulArguments a, std::int64_t token) {
  a.tokens = 1;
  a.input += token * a.input_stride;
  a.quantized.values += token * a.columns;
  a.quantized.scales += token * a.columns / kActivationBlock;
  a.quantized.sums += token * a.columns / kActivationBlock;
  a.super_blocks.values += token * a.columns;
  a.super_blocks.scales += token * a.columns / kSuperBlock;
  a.super_blocks.sums += token * a.columns / kSuperBlockSums;
  return a;
}

// The activations as the kernel sees them.
float Seen(const Problem& problem, std::int64_t token, std::int64_t column) {
  const auto at = token * problem.columns + column;
  switch (FormFor(problem.type)) {
    case ActivationForm::kFloat:
      return problem.input.row(token)[column];
    case ActivationForm::kBlocks:
      return problem.input.blocks().scales[at / kActivationBlock] *
             problem.input.blocks().values[at];
    case ActivationForm::kSuperBlocks:
      return problem.input.super_blocks().scales[at / kSuperBlock] *
             problem.input.super_blocks().values[at];
  }
  return 0;
}

// Within 2^-20 of the terms' magnitudes. A weight with a minimum is the difference of two parts
// that may be 63 times as large as it.
void ExpectFollowsDequantized(const Problem& problem, const std::vector<float>& output) {
  const std::vector<float> dense = model::ToFloat(problem.view());
  for (std::int64_t t = 0; t < problem.tokens; ++t) {
    for (std::int64_t r = 0; r < problem.rows; ++r) {
      double sum = 0;
      double magnitude = 0;
      for (std::int64_t c = 0; c < problem.columns; ++c) {
        const double term = static_cast<double>(dense[r * problem.columns + c]) *
                            static_cast<double>(Seen(problem, t, c));
        sum += term;
        magnitude += std::fabs(term);
      }
      ASSERT_NEAR(output[t * problem.rows + r], sum, 64 * magnitude * 0x1p-20)
          << "row " << r << " token " << t;
    }
  }
}

class MatmulTypesTest : public testing::TestWithParam<std::tuple<Tier, DataType>> {
 protected:
  const Kernels& kernels() { return **Select(std::get<0>(GetParam())); }
  DataType type() { return std::get<1>(GetParam()); }
};

class QuantizedTypesTest : public MatmulTypesTest {};

// 33 blocks of 32 and 5 of 256 are more than the kernels keep at once; rows are no multiple of what
// they take together.
TEST_P(MatmulTypesTest, ProductsFollowTheDequantizedWeights) {
  RandomData random(31);
  const std::int64_t blocks = model::BlockSize(type()) == 256 ? 5 : 33;
  for (const std::int64_t tokens : {1, 5}) {
    Problem problem = MakeProblem(type(), 11, blocks, tokens, random);
    Round(problem, kernels());
    ExpectFollowsDequantized(problem, Multiply(kernels(), type(), problem.arguments()));
  }
}

// Every level, scale and activation at the end of its range, where sums of 16 bits would overflow.
TEST_P(QuantizedTypesTest, TheLargestNumbersDoNotOverflow) {
  RandomData random(32);
  for (int trial = 0; trial < 12; ++trial) {
    Problem problem = MakeProblem(type(), 9, 2, 6, random);
    for (std::byte& byte : problem.weights) {
      byte = trial < 2                   ? std::byte{0xff}
             : trial < 4                 ? std::byte{0x80}
             : random.Integer(0, 1) == 0 ? std::byte{0x7f}
                                         : std::byte{0x80};
    }
    // The halves of all formats lie in the first four or in the last two bytes of a block.
    const std::int64_t size = model::BlockBytes(type());
    for (std::size_t at = 0; at < problem.weights.size(); at += static_cast<std::size_t>(size)) {
      const std::uint16_t one = model::FloatToHalf(1.0f);
      std::memcpy(problem.weights.data() + at, &one, 2);
      if (type() != DataType::kQ8_0) std::memcpy(problem.weights.data() + at + 2, &one, 2);
      if (type() == DataType::kQ6_K) {
        std::memcpy(problem.weights.data() + at + static_cast<std::size_t>(size) - 2, &one, 2);
      }
    }
    for (std::int64_t i = 0; i < problem.tokens * problem.columns; ++i) {
      problem.input.row(0)[i] = trial % 2 == 0 || random.Integer(0, 1) == 0 ? 127.0f : -127.0f;
    }
    Round(problem, kernels());
    ExpectFollowsDequantized(problem, Multiply(kernels(), type(), problem.arguments()));
  }
}

TEST_P(QuantizedTypesTest, ProductsAreTheScalarTiersBits) {
  RandomData random(33);
  for (int trial = 0; trial < 20; ++trial) {
    Problem problem = MakeProblem(type(), random.Integer(1, 19), random.Integer(1, 6),
                                  random.Integer(1, 11), random);
    Round(problem, kernels());
    EXPECT_EQ(Multiply(kernels(), type(), problem.arguments()),
              Multiply(**Select(Tier::kScalar), type(), problem.arguments()));
  }
}

TEST_P(MatmulTypesTest, ATokenAloneGivesTheBitsThatItGivesAmongOthers) {
  RandomData random(34);
  const std::int64_t blocks = model::BlockSize(type()) == 256 ? 5 : 33;
  for (const std::int64_t tokens : {2, 3, 7, 70}) {
    Problem problem = MakeProblem(type(), 13, blocks, tokens, random);
    Round(problem, kernels());
    const auto together = Multiply(kernels(), type(), problem.arguments());
    for (std::int64_t t = 0; t < tokens; ++t) {
      const auto alone = Multiply(kernels(), type(), OneToken(problem.arguments(), t));
      const std::vector<float> own(together.begin() + t * problem.rows,
                                   together.begin() + (t + 1) * problem.rows);
      ASSERT_EQ(alone, own) << "token " << t << " of " << tokens;
    }
  }
}

TEST_P(MatmulTypesTest, ANonFiniteActivationShowsInItsTokenAlone) {
  RandomData random(35);
  Problem problem = MakeProblem(type(), 9, 2, 5, random);
  problem.input.row(3)[17] = std::numeric_limits<float>::infinity();
  Round(problem, kernels());
  const auto output = Multiply(kernels(), type(), problem.arguments());
  for (std::int64_t i = 0; i < problem.tokens * problem.rows; ++i) {
    EXPECT_EQ(std::isfinite(output[i]), i / problem.rows != 3) << i;
  }
}

std::string CaseName(const testing::TestParamInfo<std::tuple<Tier, DataType>>& info) {
  return std::string(TierName(std::get<0>(info.param))) + "_" +
         std::string(model::DataTypeName(std::get<1>(info.param)));
}

std::vector<DataType> BlockTypes() {
  std::vector<DataType> types;
  for (const DataType type : model::kAllDataTypes) {
    if (model::IsBlockType(type)) types.push_back(type);
  }
  return types;
}

INSTANTIATE_TEST_SUITE_P(All, MatmulTypesTest,
                         testing::Combine(testing::ValuesIn(SupportedTiers()),
                                          testing::ValuesIn(model::kAllDataTypes)),
                         CaseName);
INSTANTIATE_TEST_SUITE_P(All, QuantizedTypesTest,
                         testing::Combine(testing::ValuesIn(SupportedTiers()),
                                          testing::ValuesIn(BlockTypes())),
                         CaseName);

class MatmulF8Test : public testing::TestWithParam<Tier> {};

// Blocks that end within a group of eight columns, one for all, one a row; and a part of the rows.
TEST_P(MatmulF8Test, EachBlockHasItsScale) {
  const Kernels& kernels = **Select(GetParam());
  RandomData random(36);
  const std::int64_t shapes[][2] = {{128, 128}, {5, 48}, {3, 17}, {1, 1000}, {1000, 1000}};
  for (const auto& [scale_rows, scale_columns] : shapes) {
    for (const std::int64_t tokens : {1, 6}) {
      Problem problem = MakeProblem(DataType::kF8E4M3, 140, 9, tokens, random);
      problem.columns = 9 * 32 - 5;
      problem.weights.resize(static_cast<std::size_t>(problem.rows * problem.columns));
      problem.input.Resize(tokens, problem.columns);
      problem.scale_rows = scale_rows;
      problem.scale_columns = scale_columns;
      const std::int64_t blocks = ((problem.rows + scale_rows - 1) / scale_rows) *
                                  ((problem.columns + scale_columns - 1) / scale_columns);
      std::vector<float> scales = random.Floats(blocks);
      for (float& scale : scales) scale = std::exp2(4 * scale);
      problem.scales.resize(scales.size() * sizeof(float));
      std::memcpy(problem.scales.data(), scales.data(), problem.scales.size());
      const auto output = Multiply(kernels, problem.type, problem.arguments());
      ExpectFollowsDequantized(problem, output);

      MatmulArguments part = problem.arguments();
      part.first_row = 131;
      part.weights += part.first_row * part.row_bytes;
      part.rows = 4;
      const auto four = Multiply(kernels, problem.type, part);
      for (std::int64_t t = 0; t < tokens; ++t) {
        for (std::int64_t r = 0; r < 4; ++r) {
          EXPECT_EQ(four[t * 4 + r], output[t * problem.rows + part.first_row + r]);
        }
      }
    }
  }
}

TEST_P(MatmulF8Test, NanIsSeen) {
  RandomData random(37);
  Problem problem = MakeProblem(DataType::kF8E4M3, 3, 2, 2, random);
  problem.weights[static_cast<std::size_t>(problem.columns) + 20] = std::byte{0xff};
  const auto output = Multiply(**Select(GetParam()), problem.type, problem.arguments());
  for (std::int64_t i = 0; i < 6; ++i) EXPECT_EQ(std::isnan(output[i]), i % 3 == 1) << i;
}

INSTANTIATE_TEST_SUITE_P(Tiers, MatmulF8Test, testing::ValuesIn(SupportedTiers()),
                         [](const auto& info) { return std::string(TierName(info.param)); });

class SuperBlockActivationsTest : public testing::TestWithParam<Tier> {};

TEST_P(SuperBlockActivationsTest, AreTheScalarTiersBitsAndWithinHalfAStep) {
  RandomData random(38);
  std::vector<float> x = random.Floats(256 * 20);
  for (std::size_t i = 0; i < 256; ++i) x[i] = 0;
  for (std::size_t i = 256; i < 512; ++i) x[i] = static_cast<float>(i) - 383.5f;  // ties
  x[300] = 127.0f;
  for (std::size_t i = 512; i < 768; ++i) x[i] = 1e-38f;
  x[768] = std::nanf("");
  struct Rounded {
    std::vector<std::int8_t> values = std::vector<std::int8_t>(256 * 20);
    std::vector<float> scales = std::vector<float>(20);
    std::vector<std::int16_t> sums = std::vector<std::int16_t>(16 * 20);
  };
  const auto round = [&](Tier tier) {
    Rounded made;
    (*Select(tier))
        ->quantize_super_blocks(x.data(), 256 * 20, made.values.data(), made.scales.data(),
                                made.sums.data());
    return made;
  };
  const Rounded actual = round(GetParam());
  const Rounded expected = round(Tier::kScalar);
  EXPECT_EQ(actual.values, expected.values);
  EXPECT_EQ(actual.sums, expected.sums);
  EXPECT_TRUE(std::isnan(actual.scales[3]) && std::isnan(expected.scales[3]));
  for (std::size_t b = 0; b < actual.scales.size(); ++b) {
    if (b == 3) continue;
    EXPECT_EQ(actual.scales[b], expected.scales[b]);
  }
  for (std::size_t i = 4 * 256; i < x.size(); ++i) {
    const float scale = actual.scales[i / 256];
    ASSERT_NEAR(x[i], scale * actual.values[i], 0.5001f * scale);
  }
  for (std::size_t b = 0; b < actual.sums.size(); ++b) {
    int sum = 0;
    for (std::size_t i = 0; i < 16; ++i) sum += actual.values[16 * b + i];
    ASSERT_EQ(actual.sums[b], sum);
  }
}

INSTANTIATE_TEST_SUITE_P(Tiers, SuperBlockActivationsTest, testing::ValuesIn(SupportedTiers()),
                         [](const auto& info) { return std::string(TierName(info.param)); });

}  // namespace
}  // namespace cloister::kernels::cpu
