#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace cloister::dp::clipping {

// n u / (1 - n u), the relative error of n roundings in a row (Higham 2002, section 3.1), for the
// unit roundoffs of fp64 and fp32.
inline double Gamma64(double n) {
  constexpr double kRoundoff = std::numeric_limits<double>::epsilon() / 2;
  return n * kRoundoff / (1 - n * kRoundoff);
}
inline double Gamma32(double n) {
  constexpr double kRoundoff = std::numeric_limits<float>::epsilon() / 2;
  return n * kRoundoff / (1 - n * kRoundoff);
}

// What is known of the norm of a gradient Ĝ that is added to a sum as floating point computes it
// (docs/design/0005-clipping.md): there is an X with
//   | squared - ‖X‖² | <= slack   and   ‖Ĝ - X‖ <= sqrt(squared_error).
// Bounds of several parameters add up to one of the vector that they form together.
struct NormBound {
  double squared = 0;  // as computed: may be negative where it cancels
  double slack = 0;
  double squared_error = 0;

  NormBound& operator+=(const NormBound& other) {
    squared += other.squared;
    slack += other.slack;
    squared_error += other.squared_error;
    return *this;
  }
  // Of a vector of so many numbers that is added itself, whose norm was computed in fp64.
  static NormBound Of(double norm, std::int64_t numbers) {
    NormBound bound;
    bound.squared = norm * norm;
    bound.slack = 4 * Gamma64(static_cast<double>(numbers) + 4) * bound.squared;
    return bound;
  }
  // At least ‖Ĝ‖ (but for a few roundings in fp64); not finite where a value of Ĝ is not, nor where
  // `squared` is not, whatever its sign: it says nothing then.
  double upper() const {
    if (!std::isfinite(squared)) return std::numeric_limits<double>::infinity();
    const double kept = squared < 0 ? 0 : squared;
    return std::sqrt(kept + slack) + std::sqrt(squared_error);
  }
  double computed() const { return std::sqrt(std::max(squared, 0.0)); }
};

}  // namespace cloister::dp::clipping
