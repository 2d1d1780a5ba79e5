#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "dp/mechanism/box_muller_lanes.h"
#include "dp/mechanism/box_muller_tiers.h"

namespace cloister::dp {
namespace {

struct Avx2Lanes {
  using Doubles = __m256d;
  using Words = __m256i;
  using Mask = __m256d;
  static constexpr int kLanes = 4;

  static Doubles Set(double x) { return _mm256_set1_pd(x); }
  static Words SetWord(std::uint64_t x) { return _mm256_set1_epi64x(static_cast<long long>(x)); }
  static Words Load(const std::uint64_t* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  }
  static void Store(std::int64_t* to, Words x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), x);
  }
  static Words AsWords(Doubles x) { return _mm256_castpd_si256(x); }
  static Doubles AsDoubles(Words x) { return _mm256_castsi256_pd(x); }
  static Words AndWords(Words a, Words b) { return _mm256_and_si256(a, b); }
  static Words OrWords(Words a, Words b) { return _mm256_or_si256(a, b); }
  static Words AddWords(Words a, Words b) { return _mm256_add_epi64(a, b); }
  static Words SubWords(Words a, Words b) { return _mm256_sub_epi64(a, b); }
  template <int Bits>
  static Words ShiftLeft(Words x) {
    return _mm256_slli_epi64(x, Bits);
  }
  template <int Bits>
  static Words ShiftRight(Words x) {
    return _mm256_srli_epi64(x, Bits);
  }
  static Doubles Add(Doubles a, Doubles b) { return _mm256_add_pd(a, b); }
  static Doubles Sub(Doubles a, Doubles b) { return _mm256_sub_pd(a, b); }
  static Doubles Mul(Doubles a, Doubles b) { return _mm256_mul_pd(a, b); }
  static Doubles Div(Doubles a, Doubles b) { return _mm256_div_pd(a, b); }
  static Doubles Sqrt(Doubles x) { return _mm256_sqrt_pd(x); }
  static Doubles Abs(Doubles x) { return _mm256_andnot_pd(_mm256_set1_pd(-0.0), x); }
  static Doubles Max(Doubles a, Doubles b) { return _mm256_max_pd(a, b); }
  static Doubles FlipSign(Doubles x, Words sign) { return _mm256_xor_pd(x, AsDoubles(sign)); }
  static Doubles WhereTopBit(Words which, Doubles a, Doubles b) {
    return _mm256_blendv_pd(b, a, AsDoubles(which));
  }
  static Mask Less(Doubles a, Doubles b) { return _mm256_cmp_pd(a, b, _CMP_LT_OQ); }
  static Mask LessEqual(Doubles a, Doubles b) { return _mm256_cmp_pd(a, b, _CMP_LE_OQ); }
  static Mask AndMask(Mask a, Mask b) { return _mm256_and_pd(a, b); }
  static unsigned Unset(Mask mask) {
    return static_cast<unsigned>(_mm256_movemask_pd(mask)) ^ 0xfU;
  }
};

}  // namespace

void DecideBlocksAvx2(double sigma, const std::uint64_t* words, std::size_t blocks,
                      std::int64_t* samples, std::uint8_t* undecided) {
  DecideBlocksLanes<Avx2Lanes>(sigma, words, blocks, samples, undecided);
}

}  // namespace cloister::dp
