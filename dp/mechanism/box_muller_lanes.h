#pragma once

// Only for the files of the sampler's tiers. The first stage of Box–Muller on the lanes of a vector
// type V: one sequence of correctly rounded operations (no library function, no contraction), so
// that every tier computes the same bits; sums, products, quotients and roots alone, since the
// oldest processors have no fused multiply-add. Error bounds: docs/design, lattice noise,
// section 2.
//
// V names its types Doubles and Words (as many 64-bit lanes) and Mask, and the operations below.
// Unnamed, so that each file, compiled for other instructions, keeps a copy of its own.

#include <cstddef>
#include <cstdint>

namespace cloister::dp {
namespace {

template <typename V>
struct FirstStageLanes {
  typename V::Doubles first_bits;  // of U1, as a whole number below 2^53
  typename V::Doubles radius;      // sqrt(-2 ln u1)
  typename V::Doubles cosine;      // of 2 pi u2
  typename V::Doubles sine;
};

// ln 2 in two parts, the first of 42 bits: its product with a number below 64 is exact.
constexpr double kLn2 = 0x1.62e42fefa3800p-1;
constexpr double kLn2Rest = 0x1.ef35793c76730p-45;

// a b + c, rounded twice.
template <typename V>
inline typename V::Doubles MulAdd(typename V::Doubles a, typename V::Doubles b,
                                  typename V::Doubles c) {
  return V::Add(V::Mul(a, b), c);
}

// c[0] + c[1] x + c[2] x² + …, an even number of terms: even and odd ones apart, so that two chains
// of half the length run beside each other.
template <typename V, std::size_t Terms>
inline typename V::Doubles Polynomial(typename V::Doubles x, const double (&c)[Terms]) {
  static_assert(Terms % 2 == 0);
  const auto square = V::Mul(x, x);
  auto even = V::Set(c[Terms - 2]);
  auto odd = V::Set(c[Terms - 1]);
  for (std::size_t i = Terms - 2; i > 0; i -= 2) {
    even = MulAdd<V>(square, even, V::Set(c[i - 2]));
    odd = MulAdd<V>(square, odd, V::Set(c[i - 1]));
  }
  return MulAdd<V>(x, odd, even);
}

// -ln(bits / 2^53), bits in [1, 2^53): relative error at most 5.2 * 2^-53.
template <typename V>
inline typename V::Doubles MinusLogLanes(typename V::Doubles bits) {
  // bits = 2^e m, sqrt(1/2) <= m < sqrt(2).
  const auto word = V::AsWords(bits);
  const auto shifted = V::SubWords(word, V::SetWord(0x3fe6a09e667f3bcd));
  const auto exponent = V::template ShiftRight<52>(shifted);
  const auto m =
      V::AsDoubles(V::SubWords(word, V::AndWords(shifted, V::SetWord(0xfff0000000000000))));
  const auto f = V::Sub(m, V::Set(1));
  // ln m = 2 atanh(s), s = f / (2 + f), |s| < 0.1716: 2 s (1 + s^2/3 + s^4/5 + …).
  const auto s = V::Div(f, V::Add(V::Set(2), f));
  const auto w = V::Mul(s, s);
  constexpr double kSeries[] = {1.0 / 3,  1.0 / 5,  1.0 / 7,  1.0 / 9,  1.0 / 11,
                                1.0 / 13, 1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21};
  const auto series = Polynomial<V>(w, kSeries);
  const auto twice = V::Add(s, s);
  const auto log_m = MulAdd<V>(twice, V::Mul(w, series), twice);
  // 53 - e, exact: the small whole number stands in the last bits of 2^52 + e.
  const auto e = V::AsDoubles(V::OrWords(exponent, V::SetWord(0x4330000000000000)));
  const auto halvings = V::Sub(V::Set(0x1p52 + 53), e);
  const auto rest = V::Sub(V::Mul(halvings, V::Set(kLn2Rest)), log_m);
  return V::Add(V::Mul(halvings, V::Set(kLn2)), rest);
}

// `first`, `second`: U1 and U2 to 53 bits.
template <typename V>
inline FirstStageLanes<V> EvaluateLanes(typename V::Words first, typename V::Words second) {
  FirstStageLanes<V> stage;
  // The halves of the 53 bits stand in the last bits of 2^84 and 2^52: an exact conversion.
  const auto high =
      V::AsDoubles(V::OrWords(V::template ShiftRight<32>(first), V::SetWord(0x4530000000000000)));
  const auto low = V::AsDoubles(
      V::OrWords(V::AndWords(first, V::SetWord(0xffffffff)), V::SetWord(0x4330000000000000)));
  stage.first_bits = V::Add(V::Sub(high, V::Set(0x1p84 + 0x1p52)), low);
  const auto minus_log = MinusLogLanes<V>(stage.first_bits);
  stage.radius = V::Sqrt(V::Add(minus_log, minus_log));

  // 4 u2 = quadrant + rest / 2^51, |rest| <= 2^50, exact. The quadrant is in bits 51 and 52.
  const auto moved = V::AddWords(second, V::SetWord(std::uint64_t{1} << 50));
  const auto rest =
      V::Sub(V::AsDoubles(V::OrWords(V::AndWords(moved, V::SetWord((std::uint64_t{1} << 51) - 1)),
                                     V::SetWord(0x4330000000000000))),
             V::Set(0x1p52 + 0x1p50));
  const auto a = V::Mul(rest, V::Set(0x1.921fb54442d18p0 * 0x1p-51));  // |a| <= pi/4
  const auto z = V::Mul(a, a);
  // Taylor: z = a² is at most 0.617, and 1/19! and 1/18! of its powers are left out.
  constexpr double kSine[] = {
      -1.0 / 6,        1.0 / 120,        -1.0 / 5040,          1.0 / 362880,
      -1.0 / 39916800, 1.0 / 6227020800, -1.0 / 1307674368000, 1.0 / 355687428096000};
  constexpr double kCosine[] = {
      -1.0 / 2,       1.0 / 24,        -1.0 / 720,         1.0 / 40320,
      -1.0 / 3628800, 1.0 / 479001600, -1.0 / 87178291200, 1.0 / 20922789888000};
  const auto sine = MulAdd<V>(V::Mul(a, z), Polynomial<V>(z, kSine), a);
  const auto cosine = MulAdd<V>(z, Polynomial<V>(z, kCosine), V::Set(1));

  // Quadrants 1 and 3 exchange the two; the cosine is negative in 1 and 2, the sine in 2 and 3.
  const auto odd = V::template ShiftLeft<12>(moved);
  const auto sign = V::SetWord(std::uint64_t{1} << 63);
  const auto cosine_sign = V::AndWords(
      V::template ShiftLeft<11>(V::AddWords(moved, V::SetWord(std::uint64_t{1} << 51))), sign);
  const auto sine_sign = V::AndWords(V::template ShiftLeft<11>(moved), sign);
  stage.cosine = V::FlipSign(V::WhereTopBit(odd, sine, cosine), cosine_sign);
  stage.sine = V::FlipSign(V::WhereTopBit(odd, cosine, sine), sine_sign);
  return stage;
}

// Outside of these the derivative of sqrt(-2 ln u) varies too much over one step of 2^-53 for the
// bound below: a chance of about 2^-32.
constexpr double kLeastFirst = 0x1p10;
constexpr double kMostFirst = 0x1p53 - 0x1p20;

[[maybe_unused]] inline bool InFirstStageRange(std::uint64_t first_bits) {
  return first_bits >= static_cast<std::uint64_t>(kLeastFirst) &&
         first_bits <= static_cast<std::uint64_t>(kMostFirst);
}

template <typename V>
struct RoundedLanes {
  typename V::Words first;
  typename V::Words second;
  typename V::Mask decided;  // both
};

// The nearest integers to sigma * radius * cosine and sine, and where no continuation of the bits
// and no rounding error could have made them others. |sigma * radius| below 2^50.
template <typename V>
inline RoundedLanes<V> RoundLanes(double sigma, const FirstStageLanes<V>& stage) {
  // The last bits of 1.5 * 2^52 + y are the integer nearest to y.
  constexpr double kToInteger = 0x1.8p52;

  // The error is sigma 2^-53 (1.1 / (u1 r) + 16 r): the undrawn bits of U1; those of U2 and every
  // rounding. Both sides of the comparison are taken times 2^53 u1 r, which costs no quotient.
  const auto steepness = V::Mul(stage.first_bits, stage.radius);
  const auto error = V::Mul(V::Set(sigma * 0x1p-53), MulAdd<V>(V::Mul(V::Set(16), stage.radius),
                                                               steepness, V::Set(1.1 * 0x1p53)));
  const auto scaled = V::Mul(V::Set(sigma), stage.radius);
  const auto y1 = V::Mul(scaled, stage.cosine);
  const auto y2 = V::Mul(scaled, stage.sine);
  const auto n1 = V::Add(y1, V::Set(kToInteger));
  const auto n2 = V::Add(y2, V::Set(kToInteger));
  const auto off1 = V::Abs(V::Sub(y1, V::Sub(n1, V::Set(kToInteger))));  // exact
  const auto off2 = V::Abs(V::Sub(y2, V::Sub(n2, V::Set(kToInteger))));
  const auto to_boundary = V::Sub(V::Set(0.5), V::Max(off1, off2));
  RoundedLanes<V> rounded;
  rounded.decided = V::AndMask(V::Less(error, V::Mul(to_boundary, steepness)),
                               V::AndMask(V::LessEqual(V::Set(kLeastFirst), stage.first_bits),
                                          V::LessEqual(stage.first_bits, V::Set(kMostFirst))));
  const auto zero = V::SetWord(0x4338000000000000);  // kToInteger's bits
  rounded.first = V::SubWords(V::AsWords(n1), zero);
  rounded.second = V::SubWords(V::AsWords(n2), zero);
  return rounded;
}

// kPairsInBlock pairs a block: the block's words are U1 of each pair and then U2 of each (the upper
// 53 bits), its samples the first numbers and then the second ones.
template <typename V>
inline void DecideBlocksLanes(double sigma, const std::uint64_t* words, std::size_t blocks,
                              std::int64_t* samples, std::uint8_t* undecided) {
  constexpr int kPairs = 8;
  for (std::size_t block = 0; block < blocks; ++block, words += 2 * kPairs, samples += 2 * kPairs) {
    unsigned open = 0;
    for (int lane = 0; lane < kPairs; lane += V::kLanes) {
      const auto stage =
          EvaluateLanes<V>(V::template ShiftRight<11>(V::Load(words + lane)),
                           V::template ShiftRight<11>(V::Load(words + kPairs + lane)));
      const auto rounded = RoundLanes<V>(sigma, stage);
      V::Store(samples + lane, rounded.first);
      V::Store(samples + kPairs + lane, rounded.second);
      open |= V::Unset(rounded.decided) << lane;
    }
    undecided[block] = static_cast<std::uint8_t>(open);
  }
}

}  // namespace
}  // namespace cloister::dp
