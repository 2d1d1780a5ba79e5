#include <algorithm>
#include <cstring>

#include "kernels/cpu/tables.h"

namespace cloister::kernels::cpu::scalar {
namespace {

std::uint16_t Load16(const std::byte* from) {
  std::uint16_t value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

float LoadHalf(const std::byte* from) { return model::HalfToFloat(Load16(from)); }

struct F32 {
  static constexpr std::int64_t kBytes = 4;
  static float Load(const std::byte* from) {
    float value;
    std::memcpy(&value, from, sizeof(value));
    return value;
  }
};
struct F16 {
  static constexpr std::int64_t kBytes = 2;
  static float Load(const std::byte* from) { return LoadHalf(from); }
};
struct BF16 {
  static constexpr std::int64_t kBytes = 2;
  static float Load(const std::byte* from) { return model::BFloat16ToFloat(Load16(from)); }
};

// A block's weights as scale * level + minimum.
struct Levels {
  float scale;
  float minimum;
  std::int8_t level[kActivationBlock];
};

// 16 bytes hold levels i (low nibble) and i + 16 (high nibble).
void UnpackNibbles(const std::byte* from, std::int8_t* level) {
  for (int i = 0; i < 16; ++i) {
    level[i] = static_cast<std::int8_t>(from[i] & std::byte{0x0f});
    level[i + 16] = static_cast<std::int8_t>(from[i] >> 4);
  }
}

struct Q8_0 {
  static constexpr std::int64_t kBytes = 34;
  static Levels Load(const std::byte* from) {
    Levels block{LoadHalf(from), 0.0f, {}};
    std::memcpy(block.level, from + 2, kActivationBlock);
    return block;
  }
};
struct Q4_0 {
  static constexpr std::int64_t kBytes = 18;
  static Levels Load(const std::byte* from) {
    const float scale = LoadHalf(from);
    Levels block{scale, -8.0f * scale, {}};
    UnpackNibbles(from + 2, block.level);
    return block;
  }
};
struct Q4_1 {
  static constexpr std::int64_t kBytes = 20;
  static Levels Load(const std::byte* from) {
    Levels block{LoadHalf(from), LoadHalf(from + 2), {}};
    UnpackNibbles(from + 4, block.level);
    return block;
  }
};

// Weights are unpacked a piece of a row at a time, and each piece is used for every token.
template <typename Format>
void MatmulFloat(const MatmulArguments& a) {
  constexpr std::int64_t kPiece = 256;
  float piece[kPiece];
  for (std::int64_t r = 0; r < a.rows; ++r) {
    const std::byte* row = a.weights + r * a.row_bytes;
    for (std::int64_t t = 0; t < a.tokens; ++t) a.output[t * a.output_stride + r] = 0;
    for (std::int64_t begin = 0; begin < a.columns; begin += kPiece) {
      const std::int64_t count = std::min(kPiece, a.columns - begin);
      for (std::int64_t i = 0; i < count; ++i) {
        piece[i] = Format::Load(row + (begin + i) * Format::kBytes);
      }
      for (std::int64_t t = 0; t < a.tokens; ++t) {
        a.output[t * a.output_stride + r] +=
            Dot(piece, a.input + t * a.input_stride + begin, count);
      }
    }
  }
}

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
        a.output[t * a.output_stride + r] +=
            block.scale * a.quantized.scales[at] * static_cast<float>(sum) +
            block.minimum * a.quantized.sums[at];
      }
    }
  }
}

}  // namespace

void MatmulF32(const MatmulArguments& a) { MatmulFloat<F32>(a); }
void MatmulF16(const MatmulArguments& a) { MatmulFloat<F16>(a); }
void MatmulBF16(const MatmulArguments& a) { MatmulFloat<BF16>(a); }
void MatmulQ8_0(const MatmulArguments& a) { MatmulBlocks<Q8_0>(a); }
void MatmulQ4_0(const MatmulArguments& a) { MatmulBlocks<Q4_0>(a); }
void MatmulQ4_1(const MatmulArguments& a) { MatmulBlocks<Q4_1>(a); }

}  // namespace cloister::kernels::cpu::scalar
