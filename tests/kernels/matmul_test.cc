#include <gtest/gtest.h>

#include <cmath>

#include "kernels/cpu/kernels.h"
#include "tests/kernels/random_data.h"

namespace cloister::kernels::cpu {
namespace {

using model::DataType;

class MatmulTest : public testing::TestWithParam<Tier> {
 protected:
  const Kernels& kernels() { return **Select(GetParam()); }
};

std::vector<float> Multiply(const Kernels& kernels, DataType type, MatmulArguments arguments) {
  std::vector<float> output(static_cast<std::size_t>(arguments.tokens * arguments.rows), -1e9f);
  arguments.output = output.data();
  arguments.output_stride = arguments.rows;
  kernels.matmul_for(type)(arguments);
  return output;
}

MatmulArguments BlockArguments(DataType type, const std::byte* weights,
                               const QuantizedActivations& input, std::int64_t rows,
                               std::int64_t blocks, std::int64_t tokens) {
  MatmulArguments arguments;
  arguments.weights = weights;
  arguments.row_bytes = blocks * model::BlockBytes(type);
  arguments.rows = rows;
  arguments.columns = blocks * kActivationBlock;
  arguments.tokens = tokens;
  arguments.quantized = input;
  return arguments;
}

std::vector<std::int64_t> WholeProduct(const WholeBlocks& weights, const WholeActivations& input,
                                       std::int64_t rows, std::int64_t blocks,
                                       std::int64_t tokens) {
  const std::int64_t columns = blocks * kActivationBlock;
  std::vector<std::int64_t> product;
  for (std::int64_t t = 0; t < tokens; ++t) {
    for (std::int64_t r = 0; r < rows; ++r) {
      std::int64_t sum = 0;
      for (std::int64_t c = 0; c < columns; ++c) {
        sum += weights.weights[static_cast<std::size_t>(r * columns + c)] *
               input.values[static_cast<std::size_t>(t * columns + c)];
      }
      product.push_back(sum);
    }
  }
  return product;
}

// Whole numbers under 2^24 have no rounding, so any lost bit of an integer sum would show.
TEST_P(MatmulTest, BlockProductsOfWholeNumbersAreExact) {
  RandomData random(1);
  for (const DataType type : {DataType::kQ8_0, DataType::kQ4_0, DataType::kQ4_1}) {
    for (int trial = 0; trial < 60; ++trial) {
      const bool extreme = trial % 3 == 0;
      const std::int64_t rows = random.Integer(1, 19);
      const std::int64_t blocks = random.Integer(1, 7);
      const std::int64_t tokens = random.Integer(1, 11);
      const WholeBlocks weights = MakeWholeBlocks(type, rows, blocks, extreme, random);
      const WholeActivations input = MakeWholeActivations(blocks * tokens, extreme, random);
      const auto expected = WholeProduct(weights, input, rows, blocks, tokens);
      const auto output =
          Multiply(kernels(), type,
                   BlockArguments(type, weights.bytes.data(), input.view(), rows, blocks, tokens));
      for (std::size_t i = 0; i < output.size(); ++i) {
        ASSERT_EQ(static_cast<double>(output[i]), static_cast<double>(expected[i]))
            << model::DataTypeName(type) << " rows " << rows << " blocks " << blocks << " tokens "
            << tokens << " at " << i;
      }
    }
  }
}

// The test above catches the usual wrong kernel, which makes weights unsigned by an offset of 128
// and lets sums of two products saturate at 16 bits: such pairs are in its input.
TEST(MatmulInputTest, ExtremeBlocksHoldPairsThatAnOffsetWouldSaturate) {
  RandomData random(2);
  const WholeBlocks weights = MakeWholeBlocks(DataType::kQ8_0, 1, 4, true, random);
  const WholeActivations input = MakeWholeActivations(4, true, random);
  int saturating = 0;
  for (std::size_t i = 0; i < weights.weights.size(); i += 2) {
    const std::int64_t pair = (weights.weights[i] + 128) * input.values[i] +
                              (weights.weights[i + 1] + 128) * input.values[i + 1];
    if (pair < -32768 || pair > 32767) ++saturating;
  }
  EXPECT_GT(saturating, 0);
}

TEST_P(MatmulTest, BlockProductsFollowTheDequantizedWeights) {
  RandomData random(3);
  for (const DataType type : {DataType::kQ8_0, DataType::kQ4_0, DataType::kQ4_1}) {
    const std::int64_t rows = 7;
    const std::int64_t blocks = 18;
    const std::int64_t tokens = 5;
    const std::int64_t columns = blocks * kActivationBlock;
    WholeBlocks weights = MakeWholeBlocks(type, rows, blocks, false, random);
    for (std::int64_t b = 0; b < rows * blocks; ++b) {  // scales that are no whole numbers
      const std::uint16_t scale = model::FloatToHalf(0.001f + std::fabs(random.Float()) / 64);
      std::memcpy(weights.bytes.data() + b * model::BlockBytes(type), &scale, sizeof(scale));
    }
    std::vector<float> dense(static_cast<std::size_t>(rows * columns));
    model::Dequantize(type, weights.bytes.data(), dense.data(), rows * columns);
    const std::vector<float> x = random.Floats(tokens * columns);
    WholeActivations input{std::vector<std::int8_t>(x.size()),
                           std::vector<float>(x.size() / kActivationBlock),
                           std::vector<float>(x.size() / kActivationBlock)};
    kernels().quantize(x.data(), tokens * columns, input.values.data(), input.scales.data(),
                       input.sums.data());
    const auto output =
        Multiply(kernels(), type,
                 BlockArguments(type, weights.bytes.data(), input.view(), rows, blocks, tokens));
    for (std::int64_t t = 0; t < tokens; ++t) {
      for (std::int64_t r = 0; r < rows; ++r) {
        double sum = 0;
        double magnitude = 0;
        for (std::int64_t c = 0; c < columns; ++c) {
          const auto at = static_cast<std::size_t>(t * columns + c);
          const double term =
              static_cast<double>(dense[static_cast<std::size_t>(r * columns + c)]) *
              input.scales[at / kActivationBlock] * input.values[at];
          sum += term;
          magnitude += std::fabs(term);
        }
        // Q4_0 and Q4_1 split a weight into level and minimum, whose parts may be 15 times larger.
        EXPECT_NEAR(output[static_cast<std::size_t>(t * rows + r)], sum, 16 * magnitude * 0x1p-20)
            << model::DataTypeName(type);
      }
    }
  }
}

TEST_P(MatmulTest, FloatProductsStayWithinTheBound) {
  RandomData random(4);
  for (const DataType type : {DataType::kF32, DataType::kF16, DataType::kBF16}) {
    for (int trial = 0; trial < 40; ++trial) {
      const std::int64_t rows = random.Integer(1, 19);
      const std::int64_t columns = random.Integer(1, 300);
      const std::int64_t tokens = random.Integer(1, 11);
      const std::int64_t stride = columns + random.Integer(0, 5);
      const std::vector<float> dense = random.Floats(rows * columns);
      // One byte further than asked for: rows of a mapped file have no alignment.
      const std::int64_t row_bytes = columns * model::BlockBytes(type);
      std::vector<std::byte> weights(static_cast<std::size_t>(rows * row_bytes + 1));
      model::Quantize(type, dense.data(), weights.data() + 1, rows * columns);
      std::vector<float> rounded(dense.size());
      model::Dequantize(type, weights.data() + 1, rounded.data(), rows * columns);
      const std::vector<float> x = random.Floats(tokens * stride);
      MatmulArguments arguments;
      arguments.weights = weights.data() + 1;
      arguments.row_bytes = row_bytes;
      arguments.rows = rows;
      arguments.columns = columns;
      arguments.tokens = tokens;
      arguments.input = x.data();
      arguments.input_stride = stride;
      const auto output = Multiply(kernels(), type, arguments);
      for (std::int64_t t = 0; t < tokens; ++t) {
        for (std::int64_t r = 0; r < rows; ++r) {
          double sum = 0;
          double magnitude = 0;
          for (std::int64_t c = 0; c < columns; ++c) {
            const double term =
                static_cast<double>(rounded[static_cast<std::size_t>(r * columns + c)]) *
                x[static_cast<std::size_t>(t * stride + c)];
            sum += term;
            magnitude += std::fabs(term);
          }
          ASSERT_NEAR(output[static_cast<std::size_t>(t * rows + r)], sum, magnitude * 0x1p-20)
              << model::DataTypeName(type) << " columns " << columns;
        }
      }
    }
  }
}

TEST_P(MatmulTest, ATokenAloneGivesTheBitsThatItGivesAmongOthers) {
  RandomData random(5);
  const std::int64_t rows = 23;
  const std::int64_t tokens = 10;
  const std::int64_t blocks = 3;
  const std::int64_t columns = blocks * kActivationBlock;
  const std::vector<float> x = random.Floats(tokens * columns);
  for (const DataType type :
       {DataType::kF32, DataType::kF16, DataType::kBF16, DataType::kQ8_0, DataType::kQ4_0}) {
    std::vector<std::byte> weights(static_cast<std::size_t>(
        rows * columns / model::BlockSize(type) * model::BlockBytes(type)));
    model::Quantize(type, random.Floats(rows * columns).data(), weights.data(), rows * columns);
    WholeActivations input{std::vector<std::int8_t>(x.size()),
                           std::vector<float>(x.size() / kActivationBlock),
                           std::vector<float>(x.size() / kActivationBlock)};
    kernels().quantize(x.data(), tokens * columns, input.values.data(), input.scales.data(),
                       input.sums.data());
    MatmulArguments all = BlockArguments(type, weights.data(), input.view(), rows, blocks, tokens);
    all.row_bytes = static_cast<std::int64_t>(weights.size()) / rows;
    all.input = x.data();
    all.input_stride = columns;
    const auto together = Multiply(kernels(), type, all);
    for (std::int64_t t = 0; t < tokens; ++t) {
      MatmulArguments one = all;
      one.tokens = 1;
      one.input += t * columns;
      one.quantized.values += t * columns;
      one.quantized.scales += t * blocks;
      one.quantized.sums += t * blocks;
      const auto alone = Multiply(kernels(), type, one);
      for (std::int64_t r = 0; r < rows; ++r) {
        EXPECT_EQ(alone[static_cast<std::size_t>(r)],
                  together[static_cast<std::size_t>(t * rows + r)])
            << model::DataTypeName(type) << " token " << t << " row " << r;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tiers, MatmulTest, testing::ValuesIn(SupportedTiers()),
                         [](const auto& info) { return std::string(TierName(info.param)); });

}  // namespace
}  // namespace cloister::kernels::cpu
