#include <cmath>
#include <cstring>

#include "kernels/cpu/tables.h"

namespace cloister::kernels::cpu::scalar {
namespace {

constexpr int kParts = 16;  // of 16 weights

float LoadHalf(const std::byte* from) {
  std::uint16_t half;
  std::memcpy(&half, from, sizeof(half));
  return model::HalfToFloat(half);
}

int Byte(const std::byte* from) { return static_cast<int>(*from); }

// A block's weights as scale * part scale * level - minimum * part minimum.
struct Levels {
  float scale;
  float minimum;
  std::int16_t scales[kParts];
  std::int16_t minimums[kParts];
  std::int8_t level[kSuperBlock];
};

// Eight scales and minimums of six bits in 12 bytes, each for two parts of 16.
void LoadHead(const std::byte* from, Levels& to) {
  to.scale = LoadHalf(from);
  to.minimum = LoadHalf(from + 2);
  const std::byte* packed = from + 4;
  for (int i = 0; i < kParts; ++i) {
    const int at = i / 2 % 4;
    const int scale = Byte(packed + at);
    const int minimum = Byte(packed + 4 + at);
    const int low = Byte(packed + 8 + at);
    const bool first = i < kParts / 2;
    to.scales[i] = static_cast<std::int16_t>(first ? scale & 63 : (low & 15) | scale >> 6 << 4);
    to.minimums[i] = static_cast<std::int16_t>(first ? minimum & 63 : low >> 4 | minimum >> 6 << 4);
  }
}

void LoadNibbles(const std::byte* from, std::int8_t* level) {
  for (int i = 0; i < kSuperBlock / 2; ++i) {
    const int to = i / 32 * 64 + i % 32;
    level[to] = static_cast<std::int8_t>(Byte(from + i) & 15);
    level[to + 32] = static_cast<std::int8_t>(Byte(from + i) >> 4);
  }
}

struct Q4_K {
  static constexpr std::int64_t kBytes = 144;
  static constexpr bool kHasMinimum = true;
  static void Load(const std::byte* from, Levels& to) {
    LoadHead(from, to);
    LoadNibbles(from + 16, to.level);
  }
};
struct Q5_K {
  static constexpr std::int64_t kBytes = 176;
  static constexpr bool kHasMinimum = true;
  static void Load(const std::byte* from, Levels& to) {
    LoadHead(from, to);
    LoadNibbles(from + 48, to.level);
    for (int i = 0; i < kSuperBlock; ++i) {
      const int fifth = Byte(from + 16 + i % 32) >> (i / 32) & 1;
      to.level[i] = static_cast<std::int8_t>(to.level[i] | fifth << 4);
    }
  }
};
struct Q6_K {
  static constexpr std::int64_t kBytes = 210;
  static constexpr bool kHasMinimum = false;
  static void Load(const std::byte* from, Levels& to) {
    to.scale = LoadHalf(from + 208);
    for (int i = 0; i < kParts; ++i) {
      const int bits = Byte(from + 192 + i);
      to.scales[i] = static_cast<std::int16_t>(bits < 128 ? bits : bits - 256);
    }
    for (int i = 0; i < kSuperBlock; ++i) {
      const int half = i / 128;
      const int quarter = i / 32 % 4;
      const int low = Byte(from + half * 64 + quarter % 2 * 32 + i % 32) >> (quarter / 2 * 4) & 15;
      const int high = Byte(from + 128 + half * 32 + i % 32) >> (2 * quarter) & 3;
      to.level[i] = static_cast<std::int8_t>((low | high << 4) - 32);
    }
  }
};

std::int32_t SumLevels(const Levels& block, const std::int8_t* x) {
  std::int32_t total = 0;
  for (int part = 0; part < kParts; ++part) {
    std::int32_t sum = 0;
    for (int i = 16 * part; i < 16 * part + 16; ++i) sum += block.level[i] * x[i];
    total += block.scales[part] * sum;
  }
  return total;
}

std::int32_t SumMinimums(const Levels& block, const std::int16_t* sums) {
  std::int32_t total = 0;
  for (int part = 0; part < kParts; ++part) total += block.minimums[part] * sums[part];
  return total;
}

template <typename Format>
void MatmulSuperBlocks(const MatmulArguments& a) {
  const std::int64_t blocks = a.columns / kSuperBlock;
  const SuperBlockActivations& x = a.super_blocks;
  Levels block;
  for (std::int64_t r = 0; r < a.rows; ++r) {
    const std::byte* row = a.weights + r * a.row_bytes;
    for (std::int64_t t = 0; t < a.tokens; ++t) a.output[t * a.output_stride + r] = 0;
    for (std::int64_t b = 0; b < blocks; ++b) {
      Format::Load(row + b * Format::kBytes, block);
      for (std::int64_t t = 0; t < a.tokens; ++t) {
        const std::int64_t at = t * blocks + b;
        float& result = a.output[t * a.output_stride + r];
        const std::int32_t sum = SumLevels(block, x.values + at * kSuperBlock);
        result = std::fma(block.scale * x.scales[at], static_cast<float>(sum), result);
        if constexpr (Format::kHasMinimum) {
          const std::int32_t minimums = SumMinimums(block, x.sums + at * kParts);
          result = std::fma(-(block.minimum * x.scales[at]), static_cast<float>(minimums), result);
        }
      }
    }
  }
}

}  // namespace

void MatmulQ4_K(const MatmulArguments& a) { MatmulSuperBlocks<Q4_K>(a); }
void MatmulQ5_K(const MatmulArguments& a) { MatmulSuperBlocks<Q5_K>(a); }
void MatmulQ6_K(const MatmulArguments& a) { MatmulSuperBlocks<Q6_K>(a); }

}  // namespace cloister::kernels::cpu::scalar
