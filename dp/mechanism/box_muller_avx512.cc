#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "dp/mechanism/box_muller_lanes.h"
#include "dp/mechanism/box_muller_tiers.h"

namespace cloister::dp {
namespace {

// AVX-512 F and DQ.
struct Avx512Lanes {
  using Doubles = __m512d;
  using Words = __m512i;
  using Mask = __mmask8;
  static constexpr int kLanes = 8;

  static Doubles Set(double x) { return _mm512_set1_pd(x); }
  static Words SetWord(std::uint64_t x) { return _mm512_set1_epi64(static_cast<long long>(x)); }
  static Words Load(const std::uint64_t* from) { return _mm512_loadu_si512(from); }
  static void Store(std::int64_t* to, Words x) { _mm512_storeu_si512(to, x); }
  static Words AsWords(Doubles x) { return _mm512_castpd_si512(x); }
  static Doubles AsDoubles(Words x) { return _mm512_castsi512_pd(x); }
  static Words AndWords(Words a, Words b) { return _mm512_and_si512(a, b); }
  static Words OrWords(Words a, Words b) { return _mm512_or_si512(a, b); }
  static Words AddWords(Words a, Words b) { return _mm512_add_epi64(a, b); }
  static Words SubWords(Words a, Words b) { return _mm512_sub_epi64(a, b); }
  template <int Bits>
  static Words ShiftLeft(Words x) {
    return _mm512_slli_epi64(x, Bits);
  }
  template <int Bits>
  static Words ShiftRight(Words x) {
    return _mm512_srli_epi64(x, Bits);
  }
  static Doubles Add(Doubles a, Doubles b) { return _mm512_add_pd(a, b); }
  static Doubles Sub(Doubles a, Doubles b) { return _mm512_sub_pd(a, b); }
  static Doubles Mul(Doubles a, Doubles b) { return _mm512_mul_pd(a, b); }
  static Doubles Div(Doubles a, Doubles b) { return _mm512_div_pd(a, b); }
  static Doubles Sqrt(Doubles x) { return _mm512_sqrt_pd(x); }
  static Doubles Abs(Doubles x) { return _mm512_abs_pd(x); }
  static Doubles Max(Doubles a, Doubles b) { return _mm512_max_pd(a, b); }
  static Doubles FlipSign(Doubles x, Words sign) { return _mm512_xor_pd(x, AsDoubles(sign)); }
  static Doubles WhereTopBit(Words which, Doubles a, Doubles b) {
    return _mm512_mask_blend_pd(_mm512_movepi64_mask(which), b, a);
  }
  static Mask Less(Doubles a, Doubles b) { return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ); }
  static Mask LessEqual(Doubles a, Doubles b) { return _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ); }
  static Mask AndMask(Mask a, Mask b) { return static_cast<Mask>(a & b); }
  static unsigned Unset(Mask mask) { return mask ^ 0xffU; }
};

}  // namespace

void DecideBlocksAvx512(double sigma, const std::uint64_t* words, std::size_t blocks,
                        std::int64_t* samples, std::uint8_t* undecided) {
  DecideBlocksLanes<Avx512Lanes>(sigma, words, blocks, samples, undecided);
}

}  // namespace cloister::dp
