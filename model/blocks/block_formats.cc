#include "model/blocks/block_formats.h"

#include <cstring>

#include "base/check.h"
#include "model/tensor.h"

namespace cloister::model {
namespace {

template <auto kConvert>
void EachHalf(const std::byte* from, float* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    std::uint16_t bits;
    std::memcpy(&bits, from + 2 * i, sizeof bits);
    to[i] = kConvert(bits);
  }
}

template <auto kConvert>
void ToHalves(const float* from, std::byte* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint16_t bits = kConvert(from[i]);
    std::memcpy(to + 2 * i, &bits, sizeof bits);
  }
}

void EachFloat8(const std::byte* from, float* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    to[i] = Float8E4M3ToFloat(static_cast<std::uint8_t>(from[i]));
  }
}

template <typename Convert>
void EachBlock(DataType type, const std::byte* from, float* to, std::int64_t count,
               Convert convert) {
  const std::int64_t size = BlockSize(type);
  const std::int64_t bytes = BlockBytes(type);
  for (std::int64_t b = 0; b < count / size; ++b) convert(from + b * bytes, to + b * size);
}

template <typename Convert>
void ToBlocks(DataType type, const float* from, std::byte* to, std::int64_t count,
              Convert convert) {
  const std::int64_t size = BlockSize(type);
  const std::int64_t bytes = BlockBytes(type);
  for (std::int64_t b = 0; b < count / size; ++b) convert(from + b * size, to + b * bytes);
}

}  // namespace

void Dequantize(DataType type, const std::byte* from, float* to, std::int64_t count) {
  CLOISTER_CHECK(count % BlockSize(type) == 0);
  if (count == 0) return;
  switch (type) {
    case DataType::kF32:
      std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(float));
      return;
    case DataType::kF16:
      return EachHalf<HalfToFloat>(from, to, count);
    case DataType::kBF16:
      return EachHalf<BFloat16ToFloat>(from, to, count);
    case DataType::kQ8_0:
      return EachBlock(type, from, to, count, blocks::DequantizeQ8_0);
    case DataType::kQ4_0:
      return EachBlock(type, from, to, count, blocks::DequantizeQ4_0);
    case DataType::kQ4_1:
      return EachBlock(type, from, to, count, blocks::DequantizeQ4_1);
    case DataType::kQ5_0:
      return EachBlock(type, from, to, count, blocks::DequantizeQ5_0);
    case DataType::kQ5_1:
      return EachBlock(type, from, to, count, blocks::DequantizeQ5_1);
    case DataType::kQ4_K:
      return EachBlock(type, from, to, count, blocks::DequantizeQ4_K);
    case DataType::kQ5_K:
      return EachBlock(type, from, to, count, blocks::DequantizeQ5_K);
    case DataType::kQ6_K:
      return EachBlock(type, from, to, count, blocks::DequantizeQ6_K);
    case DataType::kF8E4M3:
      return EachFloat8(from, to, count);
  }
}

void Quantize(DataType type, const float* from, std::byte* to, std::int64_t count) {
  CLOISTER_CHECK(count % BlockSize(type) == 0);
  if (count == 0) return;
  switch (type) {
    case DataType::kF32:
      std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(float));
      return;
    case DataType::kF16:
      return ToHalves<FloatToHalf>(from, to, count);
    case DataType::kBF16:
      return ToHalves<FloatToBFloat16>(from, to, count);
    case DataType::kQ8_0:
      return ToBlocks(type, from, to, count, blocks::QuantizeQ8_0);
    case DataType::kQ4_0:
      return ToBlocks(type, from, to, count, blocks::QuantizeQ4_0);
    case DataType::kQ4_1:
      return ToBlocks(type, from, to, count, blocks::QuantizeQ4_1);
    case DataType::kQ5_0:
      return ToBlocks(type, from, to, count, blocks::QuantizeQ5_0);
    case DataType::kQ5_1:
      return ToBlocks(type, from, to, count, blocks::QuantizeQ5_1);
    case DataType::kQ4_K:
      return ToBlocks(type, from, to, count, blocks::QuantizeQ4_K);
    case DataType::kQ5_K:
      return ToBlocks(type, from, to, count, blocks::QuantizeQ5_K);
    case DataType::kQ6_K:
      return ToBlocks(type, from, to, count, blocks::QuantizeQ6_K);
    case DataType::kF8E4M3:
      CLOISTER_CHECK(false && "kF8E4M3 is read only");
  }
}

}  // namespace cloister::model
