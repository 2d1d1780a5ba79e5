#include "model/tensor_stream.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>

#include "model/finite.h"

namespace cloister::model {
namespace {

using base::Code;

class BytesSink final : public TensorSink {
 public:
  base::Status Write(std::span<const std::byte> bytes) override {
    written.insert(written.end(), bytes.begin(), bytes.end());
    return {};
  }
  base::Result<std::uint64_t> Commit() override { return written.size(); }

  std::vector<std::byte> written;
};

std::vector<float> Ramp(std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = std::sin(static_cast<float>(i));
  return values;
}

std::vector<std::byte> Stored(DataType type, const std::vector<float>& values) {
  const auto count = static_cast<std::int64_t>(values.size());
  std::vector<std::byte> bytes(
      static_cast<std::size_t>(count / BlockSize(type) * BlockBytes(type)));
  Quantize(type, values.data(), bytes.data(), count);
  return bytes;
}

// Enough rows for several pieces and threads.
TEST(TensorStream, ConvertsAsOneThreadWould) {
  const std::vector<float> values = Ramp(40000 * 256);
  const std::vector<std::byte> source = Stored(DataType::kF32, values);
  const TensorView tensor = {DataType::kF32, {40000, 256}, source};
  for (const DataType type : {DataType::kF16, DataType::kQ8_0, DataType::kQ4_0, DataType::kF32}) {
    BytesSink sink;
    ASSERT_TRUE(StreamTensor("t", tensor, {type, {}, {}}, sink));
    EXPECT_EQ(sink.written, Stored(type, values)) << DataTypeName(type);
  }
}

TEST(TensorStream, RowsArePutInOrderAndChangedOnce) {
  const std::int64_t rows = 3000;
  const std::vector<float> values = Ramp(static_cast<std::size_t>(rows) * 64);
  const std::vector<std::byte> source = Stored(DataType::kF32, values);
  std::atomic<int> changed = 0;
  RowStream stream;
  stream.type = DataType::kF32;
  stream.source_row = [&](std::int64_t row) { return rows - 1 - row; };
  stream.change = [&](std::int64_t row, std::span<float> row_values) {
    ++changed;
    for (float& value : row_values) value += static_cast<float>(row);
  };
  BytesSink sink;
  ASSERT_TRUE(StreamTensor("t", {DataType::kF32, {rows, 64}, source}, stream, sink));
  EXPECT_EQ(changed, rows);
  std::vector<float> written(values.size());
  ASSERT_EQ(sink.written.size(), values.size() * sizeof(float));
  std::memcpy(written.data(), sink.written.data(), sink.written.size());
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t from = rows - 1 - row;
    ASSERT_EQ(written[row * 64 + 5], values[from * 64 + 5] + static_cast<float>(from)) << row;
  }
}

TEST(TensorStream, ExpertsAreAppendedToOneStack) {
  const std::vector<float> values = Ramp(3 * 4 * 32);
  const std::vector<std::byte> source = Stored(DataType::kQ8_0, values);
  const TensorView stack = {DataType::kQ8_0, {3, 4, 32}, source};
  BytesSink sink;
  for (std::int64_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(StreamTensor("e", Slice(stack, i), {DataType::kQ8_0, {}, {}}, sink));
  }
  EXPECT_EQ(sink.written, source);
}

TEST(TensorStream, ScaledFloat8BecomesFloats) {
  const std::vector<std::byte> source = {std::byte{0x38}, std::byte{0x40}};
  const std::vector<std::byte> scales = Stored(DataType::kF32, {3, -0.5f});
  const TensorView tensor = {DataType::kF8E4M3, {1, 2}, source, {scales, 1, 1}};
  BytesSink sink;
  ASSERT_TRUE(StreamTensor("t", tensor, {DataType::kF32, {}, {}}, sink));
  EXPECT_EQ(sink.written, Stored(DataType::kF32, {3, -1}));
}

std::vector<DataType> AllTypes() { return {kAllDataTypes.begin(), kAllDataTypes.end()}; }

class NotFinite : public ::testing::TestWithParam<DataType> {};

// Where a block's half is, or a float itself, in the second block.
std::vector<std::size_t> Places(DataType type) {
  const auto size = static_cast<std::size_t>(BlockBytes(type));
  if (type == DataType::kQ6_K) return {size + 208};
  const bool two = type == DataType::kQ4_1 || type == DataType::kQ5_1 || type == DataType::kQ4_K ||
                   type == DataType::kQ5_K;
  return two ? std::vector<std::size_t>{size, size + 2} : std::vector<std::size_t>{size};
}

// Infinity and NaN as they stand in the file: bits at the place, high byte last.
std::vector<std::vector<unsigned char>> NonFinite(DataType type) {
  switch (type) {
    case DataType::kF32:
      return {{0, 0, 0x80, 0x7f}, {0, 0, 0x80, 0xff}, {1, 0, 0x80, 0x7f}};
    case DataType::kBF16:
      return {{0x80, 0x7f}, {0x80, 0xff}, {0xc0, 0x7f}};
    case DataType::kF8E4M3:
      return {{0x7f}, {0xff}};
    default:
      return {{0, 0x7c}, {0, 0xfc}, {1, 0x7c}, {0xff, 0xff}};
  }
}

TEST_P(NotFinite, IsFoundWhereverItStands) {
  const DataType type = GetParam();
  const std::size_t count = 3 * static_cast<std::size_t>(BlockSize(type));
  std::vector<std::byte> bytes(3 * static_cast<std::size_t>(BlockBytes(type)), std::byte{0x21});
  const TensorView tensor = {type, {1, static_cast<std::int64_t>(count)}, bytes};
  EXPECT_TRUE(AllFinite(tensor));
  for (const std::size_t place : Places(type)) {
    for (const std::vector<unsigned char>& bits : NonFinite(type)) {
      const std::vector<std::byte> before = bytes;
      std::memcpy(bytes.data() + place, bits.data(), bits.size());
      EXPECT_FALSE(AllFinite(tensor));
      EXPECT_EQ(CheckFinite("layer", tensor).error().code, Code::kDataLoss);
      // Neither copied nor converted.
      for (const DataType to : {type, DataType::kF32}) {
        if (to == DataType::kF8E4M3) continue;
        BytesSink sink;
        const base::Status status = StreamTensor("layer", tensor, {to, {}, {}}, sink);
        ASSERT_FALSE(status) << place;
        EXPECT_NE(status.error().message.find("layer"), std::string::npos);
      }
      bytes = before;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, NotFinite, ::testing::ValuesIn(AllTypes()),
                         [](const auto& info) { return std::string(DataTypeName(info.param)); });

TEST(TensorStream, ValuesBeyondTheOutputsRangeAreNamed) {
  for (const float large : {70000.0f, -70000.0f}) {
    const std::vector<std::byte> source = Stored(DataType::kF32, std::vector<float>(32, large));
    const TensorView tensor = {DataType::kF32, {1, 32}, source};
    for (const DataType type : {DataType::kF16, DataType::kQ8_0}) {
      BytesSink sink;
      const base::Status status = StreamTensor("layer", tensor, {type, {}, {}}, sink);
      ASSERT_FALSE(status);
      EXPECT_NE(status.error().message.find("beyond the range"), std::string::npos);
    }
    BytesSink sink;
    EXPECT_TRUE(StreamTensor("layer", tensor, {DataType::kBF16, {}, {}}, sink));
  }
}

}  // namespace
}  // namespace cloister::model
