#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "model/tensor.h"

// One block's conversions, of each block type of model/tensor.h.
namespace cloister::model::blocks {

inline constexpr int kBlock = 32;
inline constexpr int kSuperBlock = 256;

inline float LoadHalf(const std::byte* from) {
  std::uint16_t bits;
  std::memcpy(&bits, from, sizeof bits);
  return HalfToFloat(bits);
}

inline void StoreHalf(std::byte* to, float value) {
  const std::uint16_t bits = FloatToHalf(value);
  std::memcpy(to, &bits, sizeof bits);
}

void DequantizeQ8_0(const std::byte* block, float* to);
void DequantizeQ4_0(const std::byte* block, float* to);
void DequantizeQ4_1(const std::byte* block, float* to);
void DequantizeQ5_0(const std::byte* block, float* to);
void DequantizeQ5_1(const std::byte* block, float* to);
void DequantizeQ4_K(const std::byte* block, float* to);
void DequantizeQ5_K(const std::byte* block, float* to);
void DequantizeQ6_K(const std::byte* block, float* to);

// Values that are not finite, which callers refuse beforehand, give some levels or others.
void QuantizeQ8_0(const float* from, std::byte* block);
void QuantizeQ4_0(const float* from, std::byte* block);
void QuantizeQ4_1(const float* from, std::byte* block);
void QuantizeQ5_0(const float* from, std::byte* block);
void QuantizeQ5_1(const float* from, std::byte* block);
void QuantizeQ4_K(const float* from, std::byte* block);
void QuantizeQ5_K(const float* from, std::byte* block);
void QuantizeQ6_K(const float* from, std::byte* block);

}  // namespace cloister::model::blocks
