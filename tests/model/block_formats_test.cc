#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
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

std::string TypeName(const ::testing::TestParamInfo<DataType>& info) {
  return std::string(DataTypeName(info.param));
}

void ExpectSameBits(const std::vector<float>& actual, const std::vector<float>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(actual[i]), std::bit_cast<std::uint32_t>(expected[i]))
        << i;
  }
}

std::vector<float> Dequantized(DataType type, const std::vector<std::byte>& bytes) {
  const auto blocks = static_cast<std::int64_t>(bytes.size()) / BlockBytes(type);
  std::vector<float> weights(static_cast<std::size_t>(blocks * BlockSize(type)));
  Dequantize(type, bytes.data(), weights.data(), blocks * BlockSize(type));
  return weights;
}

class BlocksOf32 : public ::testing::TestWithParam<DataType> {};

TEST_P(BlocksOf32, QuantizeToTheBytesOfGgml) {
  const json golden = Golden();
  const std::vector<float> weights = Floats(golden["weights"]);
  const std::vector<std::byte> expected =
      Bytes(golden[std::string(DataTypeName(GetParam()))]["bytes"].get<std::string>());
  std::vector<std::byte> bytes(expected.size());
  Quantize(GetParam(), weights.data(), bytes.data(), static_cast<std::int64_t>(weights.size()));
  EXPECT_EQ(bytes, expected);
}

TEST_P(BlocksOf32, DequantizeToTheWeightsOfGgmlBitForBit) {
  const json golden = Golden()[std::string(DataTypeName(GetParam()))];
  ExpectSameBits(Dequantized(GetParam(), Bytes(golden["bytes"].get<std::string>())),
                 Floats(golden["weights"]));
}

INSTANTIATE_TEST_SUITE_P(All, BlocksOf32,
                         ::testing::Values(DataType::kQ8_0, DataType::kQ4_0, DataType::kQ4_1,
                                           DataType::kQ5_0, DataType::kQ5_1),
                         TypeName);

class BlockFormats : public ::testing::TestWithParam<DataType> {};

// Bytes that no quantizer makes: scales of either sign, subnormal, zero and the largest, all bits
// set, none set.
TEST_P(BlockFormats, RandomBytesDequantizeToTheWeightsOfGgmlBitForBit) {
  std::ifstream stream(testing::TestData() / "model" / "random_blocks.json");
  const json golden = json::parse(stream)[std::string(DataTypeName(GetParam()))];
  const std::vector<std::byte> expected = Bytes(golden["weights"].get<std::string>());
  std::vector<float> weights(expected.size() / sizeof(float));
  std::memcpy(weights.data(), expected.data(), expected.size());
  ExpectSameBits(Dequantized(GetParam(), Bytes(golden["bytes"].get<std::string>())), weights);
}

TEST_P(BlockFormats, ZerosStayZeros) {
  const std::vector<float> zeros(static_cast<std::size_t>(BlockSize(GetParam())));
  std::vector<std::byte> bytes(static_cast<std::size_t>(BlockBytes(GetParam())), std::byte{0xff});
  Quantize(GetParam(), zeros.data(), bytes.data(), BlockSize(GetParam()));
  EXPECT_EQ(Dequantized(GetParam(), bytes), zeros);
}

// Callers refuse such weights; the quantizers must survive them.
TEST_P(BlockFormats, NumbersThatAreNotFiniteDoNoHarm) {
  for (const float bad : {HUGE_VALF, -HUGE_VALF, std::nanf(""), 3e38f, -3e38f, 1e-45f}) {
    std::vector<float> weights(static_cast<std::size_t>(BlockSize(GetParam())), 0.5f);
    weights[3] = bad;
    weights[30] = -bad;
    std::vector<std::byte> bytes(static_cast<std::size_t>(BlockBytes(GetParam())));
    Quantize(GetParam(), weights.data(), bytes.data(), BlockSize(GetParam()));
    (void)Dequantized(GetParam(), bytes);
  }
}

INSTANTIATE_TEST_SUITE_P(All, BlockFormats,
                         ::testing::Values(DataType::kQ8_0, DataType::kQ4_0, DataType::kQ4_1,
                                           DataType::kQ5_0, DataType::kQ5_1, DataType::kQ4_K,
                                           DataType::kQ5_K, DataType::kQ6_K),
                         TypeName);

// 64 blocks of 256 weights, near to normal, of five sizes: whole numbers times powers of two.
std::vector<float> SearchInput() {
  std::uint32_t state = 7;
  std::vector<float> weights;
  for (int i = 0; i < 64 * 256; ++i) {
    int sum = -131070;
    for (int k = 0; k < 4; ++k) {
      state = state * 1664525u + 1013904223u;
      sum += static_cast<int>(state >> 16);
    }
    weights.push_back(std::ldexp(static_cast<float>(sum), i / 256 % 5 - 22));
  }
  return weights;
}

double SquaredError(DataType type, const std::vector<float>& weights) {
  const auto count = static_cast<std::int64_t>(weights.size());
  std::vector<std::byte> bytes(static_cast<std::size_t>(count / 256 * BlockBytes(type)));
  Quantize(type, weights.data(), bytes.data(), count);
  const std::vector<float> rounded = Dequantized(type, bytes);
  double error = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    error += std::pow(static_cast<double>(rounded[i]) - static_cast<double>(weights[i]), 2);
  }
  return error;
}

// The figures are those of ggml's quantize_row_*_ref for the same weights.
TEST(SuperBlocks, AreNoWorseThanThoseOfGgml) {
  const std::vector<float> weights = SearchInput();
  const std::pair<DataType, double> references[] = {{DataType::kQ4_K, 0.409443044},
                                                    {DataType::kQ5_K, 0.106587243},
                                                    {DataType::kQ6_K, 0.0242707683}};
  for (const auto& [type, reference] : references) {
    const double error = SquaredError(type, weights);
    EXPECT_LT(error, reference) << DataTypeName(type);
    EXPECT_GT(error, 0.9 * reference) << DataTypeName(type) << ": too good to be true";
  }
}

// Sub-blocks of very different sizes: what a single scale for all of them would lose.
TEST(SuperBlocks, KeepSmallSubBlocksBesideLargeOnes) {
  std::vector<float> weights = SearchInput();
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (i / 32 % 2 == 0) weights[i] *= 1.0f / 16;
  }
  for (const DataType type : {DataType::kQ4_K, DataType::kQ5_K, DataType::kQ6_K}) {
    std::vector<std::byte> bytes(weights.size() / 256 * static_cast<std::size_t>(BlockBytes(type)));
    Quantize(type, weights.data(), bytes.data(), static_cast<std::int64_t>(weights.size()));
    const std::vector<float> rounded = Dequantized(type, bytes);
    double error = 0;
    double power = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (i / 32 % 2 == 1) continue;
      error += std::pow(static_cast<double>(rounded[i]) - static_cast<double>(weights[i]), 2);
      power += std::pow(static_cast<double>(weights[i]), 2);
    }
    EXPECT_LT(std::sqrt(error / power), 0.16) << DataTypeName(type);
  }
}

TEST(Float8, IsE4m3fn) {
  EXPECT_EQ(Float8E4M3ToFloat(0x00), 0.0f);
  EXPECT_TRUE(std::signbit(Float8E4M3ToFloat(0x80)));
  EXPECT_EQ(Float8E4M3ToFloat(0x01), 0x1p-9f);   // the smallest
  EXPECT_EQ(Float8E4M3ToFloat(0x87), -0x7p-9f);  // the largest subnormal
  EXPECT_EQ(Float8E4M3ToFloat(0x08), 0x1p-6f);
  EXPECT_EQ(Float8E4M3ToFloat(0x38), 1.0f);
  EXPECT_EQ(Float8E4M3ToFloat(0xbd), -1.625f);
  EXPECT_EQ(Float8E4M3ToFloat(0x7e), 448.0f);  // the largest: there is no infinity
  EXPECT_TRUE(std::isnan(Float8E4M3ToFloat(0x7f)));
  EXPECT_TRUE(std::isnan(Float8E4M3ToFloat(0xff)));
}

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
  EXPECT_EQ(*ParseDataType("q4_K"), DataType::kQ4_K);
  for (const char* name : {"q2_k", "Q4_K_M", "iq4_xs", "mxfp4", "f8_e4m3"}) {
    const auto type = ParseDataType(name);
    ASSERT_FALSE(type) << name;
    EXPECT_EQ(type.error().code, base::Code::kUnimplemented) << name;
    EXPECT_NE(type.error().message.find("q6_k"), std::string::npos) << type.error().message;
  }
  EXPECT_EQ(ParseDataType("float").error().code, base::Code::kInvalidArgument);
}

TEST(DataTypes, RowsThatAreNoWholeBlocksTakeAnotherType) {
  EXPECT_EQ(TypeForRows(DataType::kQ4_K, 512), DataType::kQ4_K);
  EXPECT_EQ(TypeForRows(DataType::kQ4_K, 576), DataType::kQ5_0);
  EXPECT_EQ(TypeForRows(DataType::kQ5_K, 576), DataType::kQ5_1);
  EXPECT_EQ(TypeForRows(DataType::kQ6_K, 576), DataType::kQ8_0);
  EXPECT_EQ(TypeForRows(DataType::kQ5_0, 576), DataType::kQ5_0);
  for (const DataType type : kAllDataTypes) {
    EXPECT_EQ(TypeForRows(type, 33), IsBlockType(type) ? DataType::kF16 : type);
  }
}

}  // namespace
}  // namespace cloister::model
