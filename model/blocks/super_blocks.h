#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "model/blocks/block_formats.h"

namespace cloister::model::blocks {

// A Q4_K or Q5_K block taken apart: eight sub-blocks of 32 weights,
// weight = scale * scales[s] * level - minimum * minimums[s].
struct AffineSuperBlock {
  static constexpr int kParts = 8;
  static constexpr int kPart = 32;
  float scale = 0;                                 // a half's value
  float minimum = 0;                               // a half's value
  std::array<std::uint8_t, kParts> scales = {};    // 0 … 63
  std::array<std::uint8_t, kParts> minimums = {};  // 0 … 63
  std::array<std::uint8_t, kSuperBlock> levels;    // 0 … 15 or 0 … 31
};

// A Q6_K block taken apart: sixteen sub-blocks of 16 weights, weight = scale * scales[s] * level.
struct SignedSuperBlock {
  static constexpr int kParts = 16;
  static constexpr int kPart = 16;
  float scale = 0;  // a half's value
  std::array<std::int8_t, kParts> scales = {};
  std::array<std::int8_t, kSuperBlock> levels;  // -32 … 31
};

AffineSuperBlock UnpackQ4_K(const std::byte* block);
AffineSuperBlock UnpackQ5_K(const std::byte* block);
SignedSuperBlock UnpackQ6_K(const std::byte* block);
void PackQ4_K(const AffineSuperBlock& parts, std::byte* block);
void PackQ5_K(const AffineSuperBlock& parts, std::byte* block);
void PackQ6_K(const SignedSuperBlock& parts, std::byte* block);

}  // namespace cloister::model::blocks
