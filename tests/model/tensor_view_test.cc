#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "model/tensor.h"

namespace cloister::model {
namespace {

std::vector<std::byte> BytesOf(const std::vector<float>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(float));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

// 1, 1.125, 1.25, … of e4m3fn.
std::vector<std::byte> Float8Ramp(std::size_t count) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i < count; ++i) bytes.push_back(static_cast<std::byte>(0x38 + i % 8));
  return bytes;
}

TEST(TensorView, RowsAreDequantizedOneByOne) {
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  const std::vector<std::byte> bytes = BytesOf(values);
  const TensorView tensor = {DataType::kF32, {3, 2}, bytes};
  std::vector<float> row(2);
  DequantizeRow(tensor, 1, row.data());
  EXPECT_EQ(row, (std::vector<float>{3, 4}));
  std::vector<float> rows(4);
  DequantizeRows(tensor, 1, 2, rows.data());
  EXPECT_EQ(rows, (std::vector<float>{3, 4, 5, 6}));
  EXPECT_EQ(tensor.row(2).size(), 8u);
}

TEST(TensorView, ASliceIsOneExpertsMatrixInPlace) {
  std::vector<float> values(64 * 3 * 2);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 100) / 10;
  std::vector<std::byte> bytes(values.size() / 32 * 34);
  Quantize(DataType::kQ8_0, values.data(), bytes.data(), static_cast<std::int64_t>(values.size()));
  const TensorView stack = {DataType::kQ8_0, {3, 2, 64}, bytes};
  const std::vector<float> all = ToFloat(stack);
  for (std::int64_t i = 0; i < 3; ++i) {
    const TensorView expert = Slice(stack, i);
    EXPECT_EQ(expert.shape, (std::vector<std::int64_t>{2, 64}));
    EXPECT_EQ(expert.data.data(), bytes.data() + i * 4 * 34);
    EXPECT_EQ(ToFloat(expert),
              std::vector<float>(all.begin() + i * 128, all.begin() + i * 128 + 128));
  }
}

TEST(TensorView, EachBlockOfF8HasItsScaleAlsoAtTheEdges) {
  const std::vector<std::byte> bytes = Float8Ramp(3 * 5);
  const std::vector<std::byte> scale_bytes = BytesOf({1, 2, 4, 8, 16, 32});
  const TensorView scales = {DataType::kF32, {2, 3}, scale_bytes};
  const auto tensor = WithScales("w", {DataType::kF8E4M3, {3, 5}, bytes}, scales, 2, 2);
  ASSERT_TRUE(tensor) << tensor.error().message;
  const std::vector<float> values = ToFloat(*tensor);
  for (std::size_t r = 0; r < 3; ++r) {
    for (std::size_t c = 0; c < 5; ++c) {
      const float number = 1.0f + static_cast<float>((5 * r + c) % 8) / 8;
      EXPECT_EQ(values[5 * r + c], std::ldexp(number, static_cast<int>(3 * (r / 2) + c / 2)));
    }
  }
  std::vector<float> last(5);
  DequantizeRow(*tensor, 2, last.data());
  EXPECT_EQ(last, std::vector<float>(values.begin() + 10, values.end()));
}

TEST(TensorView, ScalesOfSixteenBitsAreWidened) {
  const std::vector<std::byte> bytes = Float8Ramp(3 * 5);
  const std::vector<std::byte> wide = BytesOf({1, 2, 4, 8, 16, 32});
  std::vector<std::byte> halves;  // the upper halves of fp32 are bf16
  for (std::size_t i = 0; i < wide.size(); i += 4) {
    halves.insert(halves.end(), {wide[i + 2], wide[i + 3]});
  }
  const TensorView weight = {DataType::kF8E4M3, {3, 5}, bytes};
  const auto expected = WithScales("w", weight, {DataType::kF32, {2, 3}, wide}, 2, 2);
  auto narrow = WithScales("w", weight, {DataType::kBF16, {2, 3}, halves}, 2, 2);
  ASSERT_TRUE(narrow) << narrow.error().message;
  const TensorView copy = *narrow;
  narrow = base::Fail(base::Code::kDataLoss, "gone");  // the copy keeps the scales alive
  EXPECT_EQ(ToFloat(copy), ToFloat(*expected));
}

TEST(TensorView, OneScaleMayHaveAnyShape) {
  const std::vector<std::byte> bytes = Float8Ramp(6);
  const std::vector<std::byte> scale = BytesOf({0.5f});
  for (const std::vector<std::int64_t>& shape :
       {std::vector<std::int64_t>{}, std::vector<std::int64_t>{1},
        std::vector<std::int64_t>{1, 1}}) {
    const auto tensor = WithScales("w", {DataType::kF8E4M3, {2, 3}, bytes},
                                   {DataType::kF32, shape, scale}, 128, 128);
    ASSERT_TRUE(tensor) << tensor.error().message;
    EXPECT_EQ(ToFloat(*tensor)[1], 0.5625f);
  }
}

TEST(TensorView, ScalesThatDoNotFitAreRefused) {
  const std::vector<std::byte> bytes = Float8Ramp(3 * 5);
  const std::vector<std::byte> six = BytesOf({1, 2, 4, 8, 16, 32});
  const std::vector<std::byte> nan = BytesOf({1, 2, 4, 8, 16, std::nanf("")});
  const TensorView weight = {DataType::kF8E4M3, {3, 5}, bytes};
  const TensorView scales = {DataType::kF32, {2, 3}, six};
  const auto expect = [&](const TensorView& w, const TensorView& s, base::Code code) {
    const auto tensor = WithScales("layer.weight", w, s, 2, 2);
    ASSERT_FALSE(tensor);
    EXPECT_EQ(tensor.error().code, code);
    EXPECT_NE(tensor.error().message.find("layer.weight"), std::string::npos);
  };
  expect(weight, {DataType::kF32, {3, 2}, six}, base::Code::kDataLoss);
  expect(weight, {DataType::kF32, {6}, six}, base::Code::kDataLoss);
  expect(weight, {DataType::kF32, {2, 3}, nan}, base::Code::kDataLoss);
  expect(weight, {DataType::kF8E4M3, {2, 3}, std::span(six).first(6)}, base::Code::kUnimplemented);
  expect({DataType::kF8E4M3, {1, 3, 5}, bytes}, scales, base::Code::kDataLoss);
  expect({DataType::kF32, {2, 3}, six}, scales, base::Code::kDataLoss);
}

}  // namespace
}  // namespace cloister::model
