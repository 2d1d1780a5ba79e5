#pragma once

// Inside trainer/optimisation/ only: what a step's loops over the parameters share.

#include <ATen/Parallel.h>

#include <atomic>
#include <bit>
#include <cstdint>

#include "trainer/optimisation/optimizer.h"

namespace cloister::trainer {

// What became of some parameters. Bits of `changed` are set where one changed, of `exponents` where
// one is not finite: no branch, for the compiler's vectors.
struct Seen {
  std::uint32_t changed = 0, exponents = 0;

  void Add(float before, float after) {
    constexpr std::uint32_t kExponent = 0x7f800000;
    const auto bits = std::bit_cast<std::uint32_t>(after);
    changed |= bits ^ std::bit_cast<std::uint32_t>(before);
    exponents |= (bits & kExponent) == kExponent ? 1U : 0U;
  }
  void Add(const Seen& other) {
    changed |= other.changed;
    exponents |= other.exponents;
  }
};

// Runs body(begin, end) -> Seen over [0, count) on several threads, each for `grain` or more.
template <typename Body>
Optimizer::Moved MoveInParallel(std::int64_t count, std::int64_t grain, const Body& body) {
  std::atomic<std::uint32_t> changed = 0, exponents = 0;
  at::parallel_for(0, count, grain, [&](std::int64_t begin, std::int64_t end) {
    const Seen seen = body(begin, end);
    changed |= seen.changed;
    exponents |= seen.exponents;
  });
  return {changed != 0, exponents == 0};
}

// A thread's share of the work is at least so many parameters.
inline constexpr std::int64_t kGrain = std::int64_t{1} << 16;

}  // namespace cloister::trainer
