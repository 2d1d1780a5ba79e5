#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "model/tensor.h"
#include "tests/model/test_models.h"

namespace cloister::model {
namespace {

using nlohmann::json;

json Golden() {
  std::ifstream stream(testing::TestData() / "model" / "blocks.json");
  return json::parse(stream);
}

std::vector<float> Floats(const json& list) {
  std::vector<float> values;
  for (const json& bits : list) {
    values.push_back(std::bit_cast<float>(
        static_cast<std::uint32_t>(std::stoul(bits.get<std::string>(), nullptr, 16))));
  }
  return values;
}

std::vector<std::byte> Bytes(const std::string& hexadecimal) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i < hexadecimal.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(hexadecimal.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

class BlockFormats : public ::testing::TestWithParam<DataType> {};

TEST_P(BlockFormats, QuantizeToTheBytesOfGgml) {
  const json golden = Golden();
  const std::vector<float> weights = Floats(golden["weights"]);
  const std::vector<std::byte> expected =
      Bytes(golden[std::string(DataTypeName(GetParam()))]["bytes"].get<std::string>());
  std::vector<std::byte> bytes(expected.size());
  Quantize(GetParam(), weights.data(), bytes.data(), static_cast<std::int64_t>(weights.size()));
  EXPECT_EQ(bytes, expected);
}

TEST_P(BlockFormats, DequantizeToTheWeightsOfGgmlBitForBit) {
  const json golden = Golden()[std::string(DataTypeName(GetParam()))];
  const std::vector<std::byte> bytes = Bytes(golden["bytes"].get<std::string>());
  const std::vector<float> expected = Floats(golden["weights"]);
  std::vector<float> weights(expected.size());
  Dequantize(GetParam(), bytes.data(), weights.data(), static_cast<std::int64_t>(weights.size()));
  for (std::size_t i = 0; i < weights.size(); ++i) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(weights[i]), std::bit_cast<std::uint32_t>(expected[i]))
        << i;
  }
}

INSTANTIATE_TEST_SUITE_P(All, BlockFormats,
                         ::testing::Values(DataType::kQ8_0, DataType::kQ4_0, DataType::kQ4_1),
                         [](const auto& info) { return std::string(DataTypeName(info.param)); });

TEST(Half, EveryHalfSurvivesTheWayThroughFloat) {
  for (std::uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = HalfToFloat(half);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(HalfToFloat(FloatToHalf(value))));
    } else {
      ASSERT_EQ(FloatToHalf(value), half) << bits;
    }
  }
}

TEST(Half, RoundsToNearestEvenAsNumpyDoes) {
  const json golden = Golden();
  for (const json& pair : golden["halves"]) {
    const float value = Floats(json::array({pair[0]}))[0];
    EXPECT_EQ(FloatToHalf(value), pair[1].get<std::uint16_t>()) << value;
  }
}

TEST(BFloat16, RoundsToNearestEven) {
  EXPECT_EQ(FloatToBFloat16(1.0f), 0x3f80);
  EXPECT_EQ(FloatToBFloat16(std::bit_cast<float>(0x3f808000u)), 0x3f80);  // a tie: even
  EXPECT_EQ(FloatToBFloat16(std::bit_cast<float>(0x3f818000u)), 0x3f82);
  EXPECT_EQ(FloatToBFloat16(std::bit_cast<float>(0x3f808001u)), 0x3f81);
  EXPECT_EQ(BFloat16ToFloat(0xc040), -3.0f);
  EXPECT_TRUE(std::isnan(BFloat16ToFloat(FloatToBFloat16(std::nanf("")))));
}

TEST(DataTypes, AreReadInAnyCaseAndTheRestNamed) {
  EXPECT_EQ(*ParseDataType("Q8_0"), DataType::kQ8_0);
  EXPECT_EQ(*ParseDataType("bf16"), DataType::kBF16);
  EXPECT_EQ(ParseDataType("q4_k").error().code, base::Code::kUnimplemented);
  EXPECT_EQ(ParseDataType("float").error().code, base::Code::kInvalidArgument);
}

}  // namespace
}  // namespace cloister::model
