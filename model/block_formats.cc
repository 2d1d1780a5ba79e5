// ggml's block layouts (ggml-common.h, ggml-quants.c: quantize_row_*_ref), little-endian.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "model/tensor.h"

namespace cloister::model {
namespace {

constexpr int kBlock = 32;
constexpr int kHalf = kBlock / 2;

float LoadHalf(const std::byte* from) {
  std::uint16_t bits;
  std::memcpy(&bits, from, sizeof bits);
  return HalfToFloat(bits);
}

void StoreHalf(std::byte* to, float value) {
  const std::uint16_t bits = FloatToHalf(value);
  std::memcpy(to, &bits, sizeof bits);
}

void DequantizeQ8_0(const std::byte* block, float* to) {
  const float scale = LoadHalf(block);
  for (int i = 0; i < kBlock; ++i) {
    to[i] = static_cast<float>(static_cast<std::int8_t>(block[2 + i])) * scale;
  }
}

// Byte i holds weight i in its low nibble and weight i + 16 in its high one.
void DequantizeQ4_0(const std::byte* block, float* to) {
  const float scale = LoadHalf(block);
  for (int i = 0; i < kHalf; ++i) {
    const int pair = static_cast<int>(block[2 + i]);
    to[i] = static_cast<float>((pair & 15) - 8) * scale;
    to[i + kHalf] = static_cast<float>((pair >> 4) - 8) * scale;
  }
}

void DequantizeQ4_1(const std::byte* block, float* to) {
  const float scale = LoadHalf(block);
  const float minimum = LoadHalf(block + 2);
  for (int i = 0; i < kHalf; ++i) {
    const int pair = static_cast<int>(block[4 + i]);
    to[i] = static_cast<float>(pair & 15) * scale + minimum;
    to[i + kHalf] = static_cast<float>(pair >> 4) * scale + minimum;
  }
}

float LargestMagnitude(const float* from) {
  float largest = 0;
  for (int i = 0; i < kBlock; ++i) largest = std::max(largest, std::fabs(from[i]));
  return largest;
}

// The clamps only matter for values that are not finite, which callers refuse beforehand.
int Nibble(float value) { return static_cast<int>(value > 0 ? std::min(value, 15.0f) : 0.0f); }

void StoreNibbles(const int (&nibbles)[kBlock], std::byte* to) {
  for (int i = 0; i < kHalf; ++i) {
    to[i] = static_cast<std::byte>(nibbles[i] | (nibbles[i + kHalf] << 4));
  }
}

void QuantizeQ8_0(const float* from, std::byte* block) {
  const float scale = LargestMagnitude(from) / 127.0f;
  const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
  StoreHalf(block, scale);
  for (int i = 0; i < kBlock; ++i) {
    const float level = std::round(from[i] * inverse);
    const float clamped = level > -127.0f ? std::min(level, 127.0f) : -127.0f;
    block[2 + i] = static_cast<std::byte>(static_cast<std::int8_t>(clamped));
  }
}

// The value of largest magnitude, sign kept, maps to -8, so that the block's extreme is exact.
void QuantizeQ4_0(const float* from, std::byte* block) {
  float extreme = 0;
  for (int i = 0; i < kBlock; ++i) {
    if (std::fabs(from[i]) > std::fabs(extreme)) extreme = from[i];
  }
  const float scale = extreme / -8.0f;
  const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
  StoreHalf(block, scale);
  int nibbles[kBlock];
  // Two roundings in fp32, as in the reference: a fused multiply-add would differ on ties.
  for (int i = 0; i < kBlock; ++i) {
    const float level = from[i] * inverse;
    nibbles[i] = Nibble(level + 8.5f);
  }
  StoreNibbles(nibbles, block + 2);
}

void QuantizeQ4_1(const float* from, std::byte* block) {
  const auto [low, high] = std::minmax_element(from, from + kBlock);
  const float minimum = *low;
  const float scale = (*high - minimum) / 15.0f;
  const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
  StoreHalf(block, scale);
  StoreHalf(block + 2, minimum);
  int nibbles[kBlock];
  for (int i = 0; i < kBlock; ++i) nibbles[i] = Nibble((from[i] - minimum) * inverse + 0.5f);
  StoreNibbles(nibbles, block + 4);
}

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

template <auto kConvert, int kBytes>
void EachBlock(const std::byte* from, float* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += kBlock) kConvert(from + i / kBlock * kBytes, to + i);
}

template <auto kConvert, int kBytes>
void ToBlocks(const float* from, std::byte* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += kBlock) kConvert(from + i, to + i / kBlock * kBytes);
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
      return EachBlock<DequantizeQ8_0, 34>(from, to, count);
    case DataType::kQ4_0:
      return EachBlock<DequantizeQ4_0, 18>(from, to, count);
    case DataType::kQ4_1:
      return EachBlock<DequantizeQ4_1, 20>(from, to, count);
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
      return ToBlocks<QuantizeQ8_0, 34>(from, to, count);
    case DataType::kQ4_0:
      return ToBlocks<QuantizeQ4_0, 18>(from, to, count);
    case DataType::kQ4_1:
      return ToBlocks<QuantizeQ4_1, 20>(from, to, count);
  }
}

}  // namespace cloister::model
