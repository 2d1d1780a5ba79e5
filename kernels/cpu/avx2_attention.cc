#include <immintrin.h>

#include "kernels/cpu/tables.h"

namespace cloister::kernels::cpu::avx2 {
namespace {

using Arguments = Kernels::WeightedSumArguments;

// Q queries times 8 * D dimensions in registers while the positions pass by.
template <int Q, int D>
void Tile(const Arguments& a, std::int64_t query, std::int64_t dimension) {
  const float* weights = a.weights + query * a.weight_stride;
  const float* values = a.values + dimension;
  __m256 sums[Q][D];
  for (int q = 0; q < Q; ++q) {
    for (int d = 0; d < D; ++d) sums[q][d] = _mm256_setzero_ps();
  }
  for (std::int64_t p = 0; p < a.positions; ++p) {
    __m256 v[D];
    for (int d = 0; d < D; ++d) v[d] = _mm256_loadu_ps(values + p * a.value_stride + 8 * d);
    for (int q = 0; q < Q; ++q) {
      const __m256 w = _mm256_broadcast_ss(weights + q * a.weight_stride + p);
      for (int d = 0; d < D; ++d) sums[q][d] = _mm256_fmadd_ps(w, v[d], sums[q][d]);
    }
  }
  for (int q = 0; q < Q; ++q) {
    float* output = a.output + (query + q) * a.output_stride + dimension;
    for (int d = 0; d < D; ++d) _mm256_storeu_ps(output + 8 * d, sums[q][d]);
  }
}

void Column(const Arguments& a, std::int64_t query, std::int64_t dimension) {
  float sum = 0;
  for (std::int64_t p = 0; p < a.positions; ++p) {
    sum = __builtin_fmaf(a.weights[query * a.weight_stride + p],
                         a.values[p * a.value_stride + dimension], sum);
  }
  a.output[query * a.output_stride + dimension] = sum;
}

template <int Q, int D>
void Dimensions(const Arguments& a, std::int64_t query) {
  std::int64_t d = 0;
  for (; d + 8 * D <= a.dimension; d += 8 * D) Tile<Q, D>(a, query, d);
  for (; d + 8 <= a.dimension; d += 8) Tile<Q, 1>(a, query, d);
  for (; d < a.dimension; ++d) {
    for (int q = 0; q < Q; ++q) Column(a, query + q, d);
  }
}

}  // namespace

void WeightedSum(const Arguments& a) {
  std::int64_t query = 0;
  for (; query + 4 <= a.queries; query += 4) Dimensions<4, 2>(a, query);
  for (; query < a.queries; ++query) Dimensions<1, 8>(a, query);
}

}  // namespace cloister::kernels::cpu::avx2
