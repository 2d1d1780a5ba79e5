#pragma once

#include <cstdint>
#include <cstring>
#include <random>
#include <string_view>

namespace cloister::model {

// Hashing for tables that live within one process.

// Another for each table, so that no file can be made whose keys collide.
inline std::uint64_t HashSeed() {
  std::random_device random;
  return static_cast<std::uint64_t>(random()) << 32 | random();
}

inline std::uint64_t MixBits(std::uint64_t value) {
  value *= 0x9e3779b97f4a7c15U;
  return value ^ (value >> 32);
}

inline std::uint64_t HashBytes(std::string_view bytes, std::uint64_t seed) {
  std::uint64_t hash = seed ^ (bytes.size() * 0xff51afd7ed558ccdU);
  const char* data = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; left -= 8, data += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, data, 8);
    hash = MixBits(hash ^ word);
  }
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < left; ++i) {
    word |= static_cast<std::uint64_t>(static_cast<unsigned char>(data[i])) << (8 * i);
  }
  return MixBits(MixBits(hash ^ word));
}

}  // namespace cloister::model
