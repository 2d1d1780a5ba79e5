// Blocks of 256 weights with quantized scales (ggml-common.h: block_q4_K, block_q5_K, block_q6_K).
#include "model/blocks/super_blocks.h"

namespace cloister::model::blocks {
namespace {

using Affine = AffineSuperBlock;
using Signed = SignedSuperBlock;

constexpr int kScaleBytes = 12;  // eight scales and eight minimums of six bits
constexpr int kLevelsAt = 4 + kScaleBytes;
constexpr int kFifthBytes = kSuperBlock / 8;

std::uint8_t Byte(const std::byte* from, int at) { return static_cast<std::uint8_t>(from[at]); }

// Bytes 0 … 3 hold scales 0 … 3, bytes 4 … 7 minimums 0 … 3, six bits each. Bytes 8 … 11 hold the
// low four bits of scales (low nibble) and minimums (high nibble) 4 … 7, whose upper two bits fill
// up bytes 0 … 7.
void UnpackScales(const std::byte* from, Affine& to) {
  for (int i = 0; i < 4; ++i) {
    const std::uint8_t scale = Byte(from, i);
    const std::uint8_t minimum = Byte(from, 4 + i);
    const std::uint8_t low = Byte(from, 8 + i);
    to.scales[i] = scale & 63;
    to.minimums[i] = minimum & 63;
    to.scales[4 + i] = static_cast<std::uint8_t>((low & 15) | (scale >> 6 << 4));
    to.minimums[4 + i] = static_cast<std::uint8_t>((low >> 4) | (minimum >> 6 << 4));
  }
}

void PackScales(const Affine& from, std::byte* to) {
  for (int i = 0; i < 4; ++i) {
    const int scale = from.scales[4 + i];
    const int minimum = from.minimums[4 + i];
    to[i] = static_cast<std::byte>(from.scales[i] | (scale >> 4 << 6));
    to[4 + i] = static_cast<std::byte>(from.minimums[i] | (minimum >> 4 << 6));
    to[8 + i] = static_cast<std::byte>((scale & 15) | ((minimum & 15) << 4));
  }
}

void UnpackHead(const std::byte* block, Affine& parts) {
  parts.scale = LoadHalf(block);
  parts.minimum = LoadHalf(block + 2);
  UnpackScales(block + 4, parts);
}

void PackHead(const Affine& parts, std::byte* block) {
  StoreHalf(block, parts.scale);
  StoreHalf(block + 2, parts.minimum);
  PackScales(parts, block + 4);
}

// 32 bytes hold a sub-block in their low nibbles and the next one in their high nibbles.
void UnpackNibbles(const std::byte* from, Affine& parts) {
  for (int pair = 0; pair < Affine::kParts / 2; ++pair) {
    std::uint8_t* levels = parts.levels.data() + pair * 64;
    for (int i = 0; i < 32; ++i) {
      const std::uint8_t both = Byte(from, pair * 32 + i);
      levels[i] = both & 15;
      levels[32 + i] = both >> 4;
    }
  }
}

void PackNibbles(const Affine& parts, std::byte* to) {
  for (int pair = 0; pair < Affine::kParts / 2; ++pair) {
    const std::uint8_t* levels = parts.levels.data() + pair * 64;
    for (int i = 0; i < 32; ++i) {
      to[pair * 32 + i] = static_cast<std::byte>((levels[i] & 15) | ((levels[32 + i] & 15) << 4));
    }
  }
}

void Dequantize(const Affine& parts, float* to) {
  for (int s = 0; s < Affine::kParts; ++s) {
    const float scale = parts.scale * static_cast<float>(parts.scales[s]);
    const float minimum = parts.minimum * static_cast<float>(parts.minimums[s]);
    for (int i = s * Affine::kPart; i < (s + 1) * Affine::kPart; ++i) {
      to[i] = scale * static_cast<float>(parts.levels[i]) - minimum;
    }
  }
}

}  // namespace

AffineSuperBlock UnpackQ4_K(const std::byte* block) {
  AffineSuperBlock parts;
  UnpackHead(block, parts);
  UnpackNibbles(block + kLevelsAt, parts);
  return parts;
}

void PackQ4_K(const AffineSuperBlock& parts, std::byte* block) {
  PackHead(parts, block);
  PackNibbles(parts, block + kLevelsAt);
}

// Byte i of the fifth bits holds one bit of weight i of each sub-block.
AffineSuperBlock UnpackQ5_K(const std::byte* block) {
  AffineSuperBlock parts;
  UnpackHead(block, parts);
  UnpackNibbles(block + kLevelsAt + kFifthBytes, parts);
  for (int s = 0; s < Affine::kParts; ++s) {
    for (int i = 0; i < 32; ++i) {
      const int fifth = Byte(block, kLevelsAt + i) >> s & 1;
      parts.levels[s * 32 + i] = static_cast<std::uint8_t>(parts.levels[s * 32 + i] | fifth << 4);
    }
  }
  return parts;
}

void PackQ5_K(const AffineSuperBlock& parts, std::byte* block) {
  PackHead(parts, block);
  for (int i = 0; i < kFifthBytes; ++i) {
    int bits = 0;
    for (int s = 0; s < Affine::kParts; ++s) bits |= parts.levels[s * 32 + i] >> 4 << s;
    block[kLevelsAt + i] = static_cast<std::byte>(bits);
  }
  PackNibbles(parts, block + kLevelsAt + kFifthBytes);
}

// Each half of 128 weights: 64 bytes with the low four bits of weights i, i + 32 (low nibbles) and
// i + 64, i + 96 (high nibbles), and 32 bytes with the upper two bits of those four.
SignedSuperBlock UnpackQ6_K(const std::byte* block) {
  SignedSuperBlock parts;
  for (int half = 0; half < 2; ++half) {
    const std::byte* low = block + 64 * half;
    const std::byte* high = block + 128 + 32 * half;
    std::int8_t* levels = parts.levels.data() + 128 * half;
    for (int i = 0; i < 32; ++i) {
      const int upper = Byte(high, i);
      const int first = Byte(low, i);
      const int second = Byte(low, 32 + i);
      const int numbers[] = {(first & 15) | (upper & 3) << 4, (second & 15) | (upper >> 2 & 3) << 4,
                             (first >> 4) | (upper >> 4 & 3) << 4,
                             (second >> 4) | (upper >> 6) << 4};
      for (int q = 0; q < 4; ++q) levels[32 * q + i] = static_cast<std::int8_t>(numbers[q] - 32);
    }
  }
  std::memcpy(parts.scales.data(), block + 192, Signed::kParts);
  parts.scale = LoadHalf(block + 208);
  return parts;
}

void PackQ6_K(const SignedSuperBlock& parts, std::byte* block) {
  for (int half = 0; half < 2; ++half) {
    const auto level = [&](int i) { return parts.levels[128 * half + i] + 32; };
    for (int i = 0; i < 32; ++i) {
      const int a = level(i);
      const int b = level(32 + i);
      const int c = level(64 + i);
      const int d = level(96 + i);
      block[64 * half + i] = static_cast<std::byte>((a & 15) | (c & 15) << 4);
      block[64 * half + 32 + i] = static_cast<std::byte>((b & 15) | (d & 15) << 4);
      block[128 + 32 * half + i] =
          static_cast<std::byte>(a >> 4 | b >> 4 << 2 | c >> 4 << 4 | d >> 4 << 6);
    }
  }
  std::memcpy(block + 192, parts.scales.data(), Signed::kParts);
  StoreHalf(block + 208, parts.scale);
}

void DequantizeQ4_K(const std::byte* block, float* to) { Dequantize(UnpackQ4_K(block), to); }
void DequantizeQ5_K(const std::byte* block, float* to) { Dequantize(UnpackQ5_K(block), to); }

void DequantizeQ6_K(const std::byte* block, float* to) {
  const SignedSuperBlock parts = UnpackQ6_K(block);
  for (int s = 0; s < Signed::kParts; ++s) {
    const float scale = parts.scale * static_cast<float>(parts.scales[s]);
    for (int i = s * Signed::kPart; i < (s + 1) * Signed::kPart; ++i) {
      to[i] = scale * static_cast<float>(parts.levels[i]);
    }
  }
}

}  // namespace cloister::model::blocks
