#pragma once

#include <cstdint>

namespace cloister::base {

// The output function of SplitMix64 (Steele, Lea, Flood 2014), a bijection that mixes well, and the
// step between its states.
inline constexpr std::uint64_t kSplitMixStep = 0x9e3779b97f4a7c15U;
constexpr std::uint64_t SplitMix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31);
}

}  // namespace cloister::base
