#pragma once

// Inside dp/mechanism/ and its tests only: one pair of rounded Gaussians from two uniforms
// (docs/design, lattice noise, section 2).

#include <array>
#include <cstdint>
#include <optional>
#include <utility>

namespace cloister::dp {

// Uniforms U1, U2 of (0, 1), given to 53 bits: U = (bits + f) / 2^53 with f in [0, 1) not yet
// drawn.
struct UniformPair {
  std::uint64_t first = 0;
  std::uint64_t second = 0;
};
// 512 further bits of each, most significant word first.
using MoreBits = std::array<std::uint64_t, 8>;

using GaussianPair = std::pair<std::int64_t, std::int64_t>;

// What fp64 makes of the 53 bits, by the operations that every tier has (box_muller_lanes.h):
// sqrt(-2 ln u1), cos(2 pi u2), sin(2 pi u2), each within the error that the note states.
struct FirstStage {
  double radius = 0;
  double cosine = 0;
  double sine = 0;
};
FirstStage EvaluatePair(UniformPair uniforms);

// The nearest integers to sigma * sqrt(-2 ln U1) * cos(2 pi U2) and to the same with sin, where
// fp64 can tell them for every f; empty where it cannot.
std::optional<GaussianPair> DecidePair(double sigma, UniformPair uniforms);

// The same with f given to the first 64 of its bits, in 192-bit arithmetic.
std::optional<GaussianPair> DecideMiddlePair(double sigma, UniformPair uniforms,
                                             const MoreBits& first, const MoreBits& second);

// The same with f given to 512 bits, in 700-bit arithmetic. Agrees with the two above where they
// decide, whatever the further bits.
GaussianPair ExactPair(double sigma, UniformPair uniforms, const MoreBits& first,
                       const MoreBits& second);

}  // namespace cloister::dp
