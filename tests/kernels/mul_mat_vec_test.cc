#include <gtest/gtest.h>

#include <cmath>

#include "kernels/cpu/kernels.h"
#include "kernels/cuda/packed_q8_0.h"
#include "tests/kernels/random_data.h"

namespace cloister::kernels::cuda {
namespace {

using model::DataType;

struct Shape {
  std::int64_t rows;
  std::int64_t columns;
};

// A row, a block and a step of the kernel more, less and exactly; SmolLM2's two widths.
constexpr Shape kShapes[] = {{1, 32},   {2, 64},   {7, 512},   {8, 544},  {9, 576},
                             {17, 480}, {5, 1536}, {12, 2080}, {3, 4096}, {8, 256}};

std::vector<float> Padded(std::vector<float> scales) {
  scales.resize((scales.size() + 3) / 4 * 4);
  return scales;
}

std::vector<float> OnTheCpu(cpu::Tier tier, const std::vector<std::byte>& weights,
                            const WholeActivations& input, const Shape& shape) {
  std::vector<float> output(static_cast<std::size_t>(shape.rows));
  cpu::MatmulArguments arguments;
  arguments.weights = weights.data();
  arguments.row_bytes = static_cast<std::int64_t>(weights.size()) / shape.rows;
  arguments.rows = shape.rows;
  arguments.columns = shape.columns;
  arguments.tokens = 1;
  arguments.quantized = input.view();
  arguments.output = output.data();
  arguments.output_stride = shape.rows;
  (*cpu::Select(tier))->matmul_for(DataType::kQ8_0)(arguments);
  return output;
}

TEST(MulMatVecTest, WholeNumbersEqualTheCpusBitForBit) {
  RandomData random(31);
  for (const Shape& shape : kShapes) {
    for (const bool extreme : {false, true}) {
      const std::int64_t blocks = shape.columns / 32;
      const WholeBlocks weights =
          MakeWholeBlocks(DataType::kQ8_0, shape.rows, blocks, extreme, random);
      const WholeActivations input = MakeWholeActivations(blocks, extreme, random);
      const auto output =
          EmulateMulMatVecQ8_0(Pack({DataType::kQ8_0, {shape.rows, shape.columns}, weights.bytes}),
                               input.values, Padded(input.scales));
      ASSERT_TRUE(output) << output.error().message;
      EXPECT_EQ(*output, OnTheCpu(cpu::Tier::kScalar, weights.bytes, input, shape))
          << shape.rows << " x " << shape.columns;
    }
  }
}

TEST(MulMatVecTest, RealScalesEqualTheCpusToRounding) {
  RandomData random(32);
  for (const Shape& shape : kShapes) {
    std::vector<std::byte> weights(static_cast<std::size_t>(shape.rows * shape.columns / 32 * 34));
    const std::vector<float> dense = random.Floats(shape.rows * shape.columns);
    model::Quantize(DataType::kQ8_0, dense.data(), weights.data(), shape.rows * shape.columns);
    const std::vector<float> x = random.Floats(shape.columns);
    const std::size_t blocks = x.size() / 32;
    WholeActivations input{std::vector<std::int8_t>(x.size()), std::vector<float>(blocks),
                           std::vector<float>(blocks)};
    (*cpu::Select(cpu::Tier::kScalar))
        ->quantize(x.data(), shape.columns, input.values.data(), input.scales.data(),
                   input.sums.data());
    const auto output =
        EmulateMulMatVecQ8_0(Pack({DataType::kQ8_0, {shape.rows, shape.columns}, weights}),
                             input.values, Padded(input.scales));
    ASSERT_TRUE(output) << output.error().message;
    const auto expected = OnTheCpu(cpu::BestTier(), weights, input, shape);
    for (std::size_t r = 0; r < expected.size(); ++r) {
      double magnitude = 0;
      for (std::size_t c = 0; c < x.size(); ++c) {
        magnitude += std::fabs(static_cast<double>(dense[r * x.size() + c]) * x[c]);
      }
      EXPECT_NEAR((*output)[r], expected[r], magnitude * 0x1p-20);
    }
  }
}

// The comparison above sees one wrong weight: the last of the last row, the farthest corner.
TEST(MulMatVecTest, AChangedWeightChangesTheResult) {
  RandomData random(33);
  const Shape shape{9, 576};
  WholeBlocks weights = MakeWholeBlocks(DataType::kQ8_0, shape.rows, 18, false, random);
  const WholeActivations input = MakeWholeActivations(18, true, random);
  const auto expected = OnTheCpu(cpu::Tier::kScalar, weights.bytes, input, shape);
  weights.bytes.back() ^= std::byte{1};
  const auto output =
      EmulateMulMatVecQ8_0(Pack({DataType::kQ8_0, {shape.rows, shape.columns}, weights.bytes}),
                           input.values, Padded(input.scales));
  ASSERT_TRUE(output);
  EXPECT_NE(output->back(), expected.back());
}

}  // namespace
}  // namespace cloister::kernels::cuda
