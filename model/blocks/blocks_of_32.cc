// Blocks of 32 weights with one scale (ggml-common.h; the rounding of ggml-quants.c's
// quantize_row_*_ref).
#include <algorithm>
#include <cmath>

#include "model/blocks/block_formats.h"

namespace cloister::model::blocks {
namespace {

constexpr int kHalf = kBlock / 2;

// Byte i holds the low four bits of level i in its low nibble and of level i + 16 in its high one;
// bit i of the word `fifth` is level i's fifth bit.
void UnpackLevels(const std::byte* nibbles, std::uint32_t fifth, int (&levels)[kBlock]) {
  for (int i = 0; i < kHalf; ++i) {
    const auto pair = static_cast<std::uint32_t>(nibbles[i]);
    levels[i] = static_cast<int>((pair & 15) | ((fifth >> i & 1) << 4));
    levels[i + kHalf] = static_cast<int>((pair >> 4) | ((fifth >> (i + kHalf) & 1) << 4));
  }
}

void PackNibbles(const int (&levels)[kBlock], std::byte* nibbles) {
  for (int i = 0; i < kHalf; ++i) {
    nibbles[i] = static_cast<std::byte>((levels[i] & 15) | ((levels[i + kHalf] & 15) << 4));
  }
}

std::uint32_t FifthBits(const int (&levels)[kBlock]) {
  std::uint32_t bits = 0;
  for (int i = 0; i < kBlock; ++i) bits |= static_cast<std::uint32_t>(levels[i] >> 4) << i;
  return bits;
}

std::uint32_t Load32(const std::byte* from) {
  std::uint32_t bits;
  std::memcpy(&bits, from, sizeof bits);
  return bits;
}

void Store32(std::byte* to, std::uint32_t bits) { std::memcpy(to, &bits, sizeof bits); }

float LargestMagnitude(const float* from) {
  float largest = 0;
  for (int i = 0; i < kBlock; ++i) largest = std::max(largest, std::fabs(from[i]));
  return largest;
}

// Truncates to 0 … top. The clamps only matter for values that are not finite.
int Level(float value, int top) {
  return static_cast<int>(value > 0 ? std::min(value, static_cast<float>(top)) : 0.0f);
}

// The value of largest magnitude, sign kept, maps to the lowest level, -half, so that the block's
// extreme is exact. Returns the scale.
float SignedLevels(const float* from, int half, int (&levels)[kBlock]) {
  float extreme = 0;
  for (int i = 0; i < kBlock; ++i) {
    if (std::fabs(from[i]) > std::fabs(extreme)) extreme = from[i];
  }
  const float scale = extreme / static_cast<float>(-half);
  const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
  const float offset = static_cast<float>(half) + 0.5f;
  // Two roundings in fp32, as in the reference: a fused multiply-add would differ on ties.
  for (int i = 0; i < kBlock; ++i) {
    const float level = from[i] * inverse;
    levels[i] = Level(level + offset, 2 * half - 1);
  }
  return scale;
}

struct Affine {
  float scale;
  float minimum;
};

Affine AffineLevels(const float* from, int top, int (&levels)[kBlock]) {
  const auto [low, high] = std::minmax_element(from, from + kBlock);
  const float minimum = *low;
  const float scale = (*high - minimum) / static_cast<float>(top);
  const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
  for (int i = 0; i < kBlock; ++i) levels[i] = Level((from[i] - minimum) * inverse + 0.5f, top);
  return {scale, minimum};
}

}  // namespace

void DequantizeQ8_0(const std::byte* block, float* to) {
  const float scale = LoadHalf(block);
  for (int i = 0; i < kBlock; ++i) {
    to[i] = static_cast<float>(static_cast<std::int8_t>(block[2 + i])) * scale;
  }
}

void DequantizeQ4_0(const std::byte* block, float* to) {
  int levels[kBlock];
  UnpackLevels(block + 2, 0, levels);
  const float scale = LoadHalf(block);
  for (int i = 0; i < kBlock; ++i) to[i] = static_cast<float>(levels[i] - 8) * scale;
}

void DequantizeQ4_1(const std::byte* block, float* to) {
  int levels[kBlock];
  UnpackLevels(block + 4, 0, levels);
  const float scale = LoadHalf(block);
  const float minimum = LoadHalf(block + 2);
  for (int i = 0; i < kBlock; ++i) to[i] = static_cast<float>(levels[i]) * scale + minimum;
}

void DequantizeQ5_0(const std::byte* block, float* to) {
  int levels[kBlock];
  UnpackLevels(block + 6, Load32(block + 2), levels);
  const float scale = LoadHalf(block);
  for (int i = 0; i < kBlock; ++i) to[i] = static_cast<float>(levels[i] - 16) * scale;
}

void DequantizeQ5_1(const std::byte* block, float* to) {
  int levels[kBlock];
  UnpackLevels(block + 8, Load32(block + 4), levels);
  const float scale = LoadHalf(block);
  const float minimum = LoadHalf(block + 2);
  for (int i = 0; i < kBlock; ++i) to[i] = static_cast<float>(levels[i]) * scale + minimum;
}

void QuantizeQ8_0(const float* from, std::byte* block) {
  const float scale = LargestMagnitude(from) / 127.0f;
  const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
  StoreHalf(block, scale);
  // Ties go away from zero. The fraction is exact, unlike value + 0.5.
  for (int i = 0; i < kBlock; ++i) {
    const float magnitude = std::fabs(from[i] * inverse);
    const float bounded = magnitude < 127.0f ? magnitude : 127.0f;
    const int whole = static_cast<int>(bounded);
    const int level = whole + (bounded - static_cast<float>(whole) >= 0.5f ? 1 : 0);
    block[2 + i] = static_cast<std::byte>(from[i] < 0 ? -level : level);
  }
}

void QuantizeQ4_0(const float* from, std::byte* block) {
  int levels[kBlock];
  StoreHalf(block, SignedLevels(from, 8, levels));
  PackNibbles(levels, block + 2);
}

void QuantizeQ4_1(const float* from, std::byte* block) {
  int levels[kBlock];
  const Affine fit = AffineLevels(from, 15, levels);
  StoreHalf(block, fit.scale);
  StoreHalf(block + 2, fit.minimum);
  PackNibbles(levels, block + 4);
}

void QuantizeQ5_0(const float* from, std::byte* block) {
  int levels[kBlock];
  StoreHalf(block, SignedLevels(from, 16, levels));
  Store32(block + 2, FifthBits(levels));
  PackNibbles(levels, block + 6);
}

void QuantizeQ5_1(const float* from, std::byte* block) {
  int levels[kBlock];
  const Affine fit = AffineLevels(from, 31, levels);
  StoreHalf(block, fit.scale);
  StoreHalf(block + 2, fit.minimum);
  Store32(block + 4, FifthBits(levels));
  PackNibbles(levels, block + 8);
}

}  // namespace cloister::model::blocks
