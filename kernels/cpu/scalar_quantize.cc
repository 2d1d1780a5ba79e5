#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "kernels/cpu/tables.h"

namespace cloister::kernels::cpu::scalar {
namespace {

constexpr std::uint32_t kMagnitude = 0x7fffffffu;
constexpr std::uint32_t kInfinity = 0x7f800000u;
constexpr std::uint32_t kSmallest = (127u - 110u) << 23;  // 2^-110

// Rounds a block of `size` values and returns its scale.
float QuantizeBlock(const float* from, std::int64_t size, std::int8_t* values) {
  // Magnitudes compare as integers in the order of the floats, with NaN above infinity.
  std::uint32_t largest = 0;
  for (std::int64_t i = 0; i < size; ++i) {
    largest = std::max(largest, std::bit_cast<std::uint32_t>(from[i]) & kMagnitude);
  }
  if (largest <= kSmallest || largest >= kInfinity) {
    std::fill_n(values, size, std::int8_t{0});
    return largest >= kInfinity ? std::numeric_limits<float>::quiet_NaN() : 0.0f;
  }
  const float magnitude = std::bit_cast<float>(largest);
  const float inverse = 127.0f / magnitude;
  for (std::int64_t i = 0; i < size; ++i) {
    values[i] = static_cast<std::int8_t>(std::lrintf(from[i] * inverse));
  }
  return magnitude / 127.0f;
}

std::int32_t Sum(const std::int8_t* values, std::int64_t count) {
  std::int32_t total = 0;
  for (std::int64_t i = 0; i < count; ++i) total += values[i];
  return total;
}

}  // namespace

void Quantize(const float* from, std::int64_t count, std::int8_t* values, float* scales,
              float* sums) {
  for (std::int64_t b = 0; b < count / kActivationBlock; ++b) {
    std::int8_t* block = values + b * kActivationBlock;
    scales[b] = QuantizeBlock(from + b * kActivationBlock, kActivationBlock, block);
    sums[b] = scales[b] * static_cast<float>(Sum(block, kActivationBlock));
  }
}

void QuantizeSuperBlocks(const float* from, std::int64_t count, std::int8_t* values, float* scales,
                         std::int16_t* sums) {
  for (std::int64_t b = 0; b < count / kSuperBlock; ++b) {
    scales[b] = QuantizeBlock(from + b * kSuperBlock, kSuperBlock, values + b * kSuperBlock);
  }
  for (std::int64_t i = 0; i < count / kSuperBlockSums; ++i) {
    sums[i] = static_cast<std::int16_t>(Sum(values + i * kSuperBlockSums, kSuperBlockSums));
  }
}

}  // namespace cloister::kernels::cpu::scalar
