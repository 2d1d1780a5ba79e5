#pragma once

#include <array>
#include <cstdint>

namespace cloister::trainer {

// A permutation of [0, size) that a public seed and a number (of an epoch, say) fix, computed place
// by place: nothing is kept but its keys, whatever the size. A Feistel network over the least power
// of four that holds the size, walked until it comes back into range (Black, Rogaway 2002, "Ciphers
// with arbitrary finite domains"): less than four steps on average. It mixes; it hides nothing.
// Immutable, thread-safe.
class Permutation {
 public:
  // size >= 1.
  Permutation(std::int64_t size, std::uint64_t seed, std::uint64_t number = 0);

  std::int64_t size() const { return static_cast<std::int64_t>(size_); }
  // Of 0 <= index < size.
  std::int64_t At(std::int64_t index) const;

 private:
  static constexpr int kRounds = 8;
  std::uint64_t Step(std::uint64_t value) const;

  std::uint64_t size_;
  int half_bits_ = 1;
  std::array<std::uint64_t, kRounds> keys_{};
};

}  // namespace cloister::trainer
