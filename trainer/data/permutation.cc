#include "trainer/data/permutation.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace cloister::trainer {
namespace {

// SplitMix64's finalizer and constant (Steele, Lea, Flood 2014): public shuffling only, never noise
// or private sampling.
constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15U;

std::uint64_t Mixed(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

}  // namespace

Permutation::Permutation(std::int64_t size, std::uint64_t seed, std::uint64_t number)
    : size_(static_cast<std::uint64_t>(size)) {
  CLOISTER_CHECK(size >= 1);
  const auto bits = static_cast<int>(std::bit_width(size_ - 1));
  half_bits_ = std::max(1, (bits + 1) / 2);
  std::uint64_t state = Mixed(seed + kGolden) ^ Mixed(~number);
  for (std::uint64_t& key : keys_) key = Mixed(state += kGolden);
}

std::uint64_t Permutation::Step(std::uint64_t value) const {
  const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
  std::uint64_t left = value >> half_bits_, right = value & mask;
  for (const std::uint64_t key : keys_) {
    const std::uint64_t next = left ^ (Mixed(right * kGolden + key) & mask);
    left = right;
    right = next;
  }
  return left << half_bits_ | right;
}

std::int64_t Permutation::At(std::int64_t index) const {
  auto value = static_cast<std::uint64_t>(index);
  CLOISTER_CHECK(index >= 0 && value < size_);
  do {  // a cycle through `index`, which is in range, comes back into it
    value = Step(value);
  } while (value >= size_);
  return static_cast<std::int64_t>(value);
}

}  // namespace cloister::trainer
