#pragma once

#include <immintrin.h>

// Only for the files of the AVX2 tier. Unnamed, so that each keeps a copy of its own.
namespace cloister::kernels::cpu::avx2 {
namespace {

// The eight lanes added pairwise: always in the same order.
[[maybe_unused]] inline float Sum8(__m256 x) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

// Asks for the bytes `distance` behind `from`, so that rows which are read once, as in decoding,
// come in time. An address past the weights' end does no harm.
[[maybe_unused]] inline void PrefetchRow(const void* from, long distance) {
  _mm_prefetch(static_cast<const char*>(from) + distance, _MM_HINT_T0);
}

}  // namespace
}  // namespace cloister::kernels::cpu::avx2
