#pragma once

// Inside dp/mechanism/ only: one lane, in plain C++: the reference of every tier.

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "dp/mechanism/box_muller_lanes.h"

namespace cloister::dp {
namespace {

struct ScalarLanes {
  using Doubles = double;
  using Words = std::uint64_t;
  using Mask = bool;
  static constexpr int kLanes = 1;

  static Doubles Set(double x) { return x; }
  static Words SetWord(std::uint64_t x) { return x; }
  static Words Load(const std::uint64_t* from) { return *from; }
  static void Store(std::int64_t* to, Words x) { *to = static_cast<std::int64_t>(x); }
  static Words AsWords(Doubles x) { return std::bit_cast<std::uint64_t>(x); }
  static Doubles AsDoubles(Words x) { return std::bit_cast<double>(x); }
  static Words AndWords(Words a, Words b) { return a & b; }
  static Words OrWords(Words a, Words b) { return a | b; }
  static Words AddWords(Words a, Words b) { return a + b; }
  static Words SubWords(Words a, Words b) { return a - b; }
  template <int Bits>
  static Words ShiftLeft(Words x) {
    return x << Bits;
  }
  template <int Bits>
  static Words ShiftRight(Words x) {
    return x >> Bits;
  }
  static Doubles Add(Doubles a, Doubles b) { return a + b; }
  static Doubles Sub(Doubles a, Doubles b) { return a - b; }
  static Doubles Mul(Doubles a, Doubles b) { return a * b; }
  static Doubles Div(Doubles a, Doubles b) { return a / b; }
  static Doubles Sqrt(Doubles x) { return std::sqrt(x); }
  static Doubles Abs(Doubles x) { return std::fabs(x); }
  static Doubles Max(Doubles a, Doubles b) { return a > b ? a : b; }
  static Doubles FlipSign(Doubles x, Words sign) { return AsDoubles(AsWords(x) ^ sign); }
  static Doubles WhereTopBit(Words which, Doubles a, Doubles b) { return which >> 63 ? a : b; }
  static Mask Less(Doubles a, Doubles b) { return a < b; }
  static Mask LessEqual(Doubles a, Doubles b) { return a <= b; }
  static Mask AndMask(Mask a, Mask b) { return a && b; }
  static unsigned Unset(Mask mask) { return mask ? 0 : 1; }
};

}  // namespace
}  // namespace cloister::dp
