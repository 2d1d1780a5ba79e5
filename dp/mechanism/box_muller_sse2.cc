#include <emmintrin.h>

#include <cstddef>
#include <cstdint>

#include "dp/mechanism/box_muller_lanes.h"
#include "dp/mechanism/box_muller_tiers.h"

namespace cloister::dp {
namespace {

// Two lanes: part of every x86-64 processor.
struct Sse2Lanes {
  using Doubles = __m128d;
  using Words = __m128i;
  using Mask = __m128d;
  static constexpr int kLanes = 2;

  static Doubles Set(double x) { return _mm_set1_pd(x); }
  static Words SetWord(std::uint64_t x) { return _mm_set1_epi64x(static_cast<long long>(x)); }
  static Words Load(const std::uint64_t* from) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  }
  static void Store(std::int64_t* to, Words x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), x);
  }
  static Words AsWords(Doubles x) { return _mm_castpd_si128(x); }
  static Doubles AsDoubles(Words x) { return _mm_castsi128_pd(x); }
  static Words AndWords(Words a, Words b) { return _mm_and_si128(a, b); }
  static Words OrWords(Words a, Words b) { return _mm_or_si128(a, b); }
  static Words AddWords(Words a, Words b) { return _mm_add_epi64(a, b); }
  static Words SubWords(Words a, Words b) { return _mm_sub_epi64(a, b); }
  template <int Bits>
  static Words ShiftLeft(Words x) {
    return _mm_slli_epi64(x, Bits);
  }
  template <int Bits>
  static Words ShiftRight(Words x) {
    return _mm_srli_epi64(x, Bits);
  }
  static Doubles Add(Doubles a, Doubles b) { return _mm_add_pd(a, b); }
  static Doubles Sub(Doubles a, Doubles b) { return _mm_sub_pd(a, b); }
  static Doubles Mul(Doubles a, Doubles b) { return _mm_mul_pd(a, b); }
  static Doubles Div(Doubles a, Doubles b) { return _mm_div_pd(a, b); }
  static Doubles Sqrt(Doubles x) { return _mm_sqrt_pd(x); }
  static Doubles Abs(Doubles x) { return _mm_andnot_pd(_mm_set1_pd(-0.0), x); }
  static Doubles Max(Doubles a, Doubles b) { return _mm_max_pd(a, b); }
  static Doubles FlipSign(Doubles x, Words sign) { return _mm_xor_pd(x, AsDoubles(sign)); }
  static Doubles WhereTopBit(Words which, Doubles a, Doubles b) {
    // The top bit, through its own half and from there through the other.
    const Words half = _mm_srai_epi32(which, 31);
    const Doubles mask = AsDoubles(_mm_shuffle_epi32(half, _MM_SHUFFLE(3, 3, 1, 1)));
    return _mm_or_pd(_mm_and_pd(mask, a), _mm_andnot_pd(mask, b));
  }
  static Mask Less(Doubles a, Doubles b) { return _mm_cmplt_pd(a, b); }
  static Mask LessEqual(Doubles a, Doubles b) { return _mm_cmple_pd(a, b); }
  static Mask AndMask(Mask a, Mask b) { return _mm_and_pd(a, b); }
  static unsigned Unset(Mask mask) { return static_cast<unsigned>(_mm_movemask_pd(mask)) ^ 0x3U; }
};

}  // namespace

void DecideBlocksSse2(double sigma, const std::uint64_t* words, std::size_t blocks,
                      std::int64_t* samples, std::uint8_t* undecided) {
  DecideBlocksLanes<Sse2Lanes>(sigma, words, blocks, samples, undecided);
}

}  // namespace cloister::dp
