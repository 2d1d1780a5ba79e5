#include <cmath>
#include <cstring>

#include "kernels/cpu/tables.h"

namespace cloister::kernels::cpu::scalar {
namespace {

float LoadHalf(const std::byte* from) {
  std::uint16_t half;
  std::memcpy(&half, from, sizeof(half));
  return model::HalfToFloat(half);
}

std::uint32_t Load32(const std::byte* from) {
  std::uint32_t bits;
  std::memcpy(&bits, from, sizeof(bits));
  return bits;
}

// A block's weights as scale * level + minimum.
struct Levels {
  float scale;
  float minimum;
  std::int8_t level[kActivationBlock];
};

// 16 bytes hold levels i (low nibble) and i + 16 (high nibble); bit i of `fifth` is level i's
// fifth bit.
void UnpackLevels(const std::byte* from, std::uint32_t fifth, std::int8_t* level) {
  for (int i = 0; i < 16; ++i) {
    const auto pair = static_cast<std::uint32_t>(from[i]);
    level[i] = static_cast<std::int8_t>((pair & 15) | (fifth >> i & 1) << 4);
    level[i + 16] = static_cast<std::int8_t>(pair >> 4 | (fifth >> (i + 16) & 1) << 4);
  }
}

struct Q8_0 {
  static constexpr std::int64_t kBytes = 34;
  static constexpr bool kHasMinimum = false;
  static Levels Load(const std::byte* from) {
    Levels block{LoadHalf(from), 0.0f, {}};
    std::memcpy(block.level, from + 2, kActivationBlock);
    return block;
  }
};
struct Q4_0 {
  static constexpr std::int64_t kBytes = 18;
  static constexpr bool kHasMinimum = true;
  static Levels Load(const std::byte* from) {
    const float scale = LoadHalf(from);
    Levels block{scale, -8.0f * scale, {}};
    UnpackLevels(from + 2, 0, block.level);
    return block;
  }
};
struct Q4_1 {
  static constexpr std::int64_t kBytes = 20;
  static constexpr bool kHasMinimum = true;
  static Levels Load(const std::byte* from) {
    Levels block{LoadHalf(from), LoadHalf(from + 2), {}};
    UnpackLevels(from + 4, 0, block.level);
    return block;
  }
};
struct Q5_0 {
  static constexpr std::int64_t kBytes = 22;
  static constexpr bool kHasMinimum = true;
  static Levels Load(const std::byte* from) {
    const float scale = LoadHalf(from);
    Levels block{scale, -16.0f * scale, {}};
    UnpackLevels(from + 6, Load32(from + 2), block.level);
    return block;
  }
};
struct Q5_1 {
  static constexpr std::int64_t kBytes = 24;
  static constexpr bool kHasMinimum = true;
  static Levels Load(const std::byte* from) {
    Levels block{LoadHalf(from), LoadHalf(from + 2), {}};
    UnpackLevels(from + 8, Load32(from + 4), block.level);
    return block;
  }
};

template <typename Format>
void MatmulBlocks(const MatmulArguments& a) {
  const std::int64_t blocks = a.columns / kActivationBlock;
  for (std::int64_t r = 0; r < a.rows; ++r) {
    const std::byte* row = a.weights + r * a.row_bytes;
    for (std::int64_t t = 0; t < a.tokens; ++t) a.output[t * a.output_stride + r] = 0;
    for (std::int64_t b = 0; b < blocks; ++b) {
      const Levels block = Format::Load(row + b * Format::kBytes);
      for (std::int64_t t = 0; t < a.tokens; ++t) {
        const std::int64_t at = t * blocks + b;
        const std::int8_t* x = a.quantized.values + at * kActivationBlock;
        std::int32_t sum = 0;
        for (int i = 0; i < kActivationBlock; ++i) sum += block.level[i] * x[i];
        float& result = a.output[t * a.output_stride + r];
        result = std::fma(block.scale * a.quantized.scales[at], static_cast<float>(sum), result);
        if constexpr (Format::kHasMinimum) {
          result = std::fma(block.minimum, a.quantized.sums[at], result);
        }
      }
    }
  }
}

}  // namespace

void MatmulQ8_0(const MatmulArguments& a) { MatmulBlocks<Q8_0>(a); }
void MatmulQ4_0(const MatmulArguments& a) { MatmulBlocks<Q4_0>(a); }
void MatmulQ4_1(const MatmulArguments& a) { MatmulBlocks<Q4_1>(a); }
void MatmulQ5_0(const MatmulArguments& a) { MatmulBlocks<Q5_0>(a); }
void MatmulQ5_1(const MatmulArguments& a) { MatmulBlocks<Q5_1>(a); }

}  // namespace cloister::kernels::cpu::scalar
