#include <immintrin.h>

#include "kernels/cpu/tables.h"

namespace cloister::kernels::cpu::avx2 {
namespace {

using Arguments = Kernels::WeightedSumArguments;

struct Range {
  std::int64_t begin;
  std::int64_t end;
};

// Q queries times 8 * D dimensions in registers while a range of positions passes by. The first
// range starts the sums, a later one goes on with what the output holds.
template <int Q, int D>
void Tile(const Arguments& a, Range positions, std::int64_t query, std::int64_t dimension) {
  const float* weights = a.weights + query * a.weight_stride;
  const float* values = a.values + dimension;
  float* output = a.output + query * a.output_stride + dimension;
  __m256 sums[Q][D];
  for (int q = 0; q < Q; ++q) {
    for (int d = 0; d < D; ++d) {
      sums[q][d] = positions.begin == 0 ? _mm256_setzero_ps()
                                        : _mm256_loadu_ps(output + q * a.output_stride + 8 * d);
    }
  }
  for (std::int64_t p = positions.begin; p < positions.end; ++p) {
    __m256 v[D];
    for (int d = 0; d < D; ++d) v[d] = _mm256_loadu_ps(values + p * a.value_stride + 8 * d);
    for (int q = 0; q < Q; ++q) {
      const __m256 w = _mm256_broadcast_ss(weights + q * a.weight_stride + p);
      for (int d = 0; d < D; ++d) sums[q][d] = _mm256_fmadd_ps(w, v[d], sums[q][d]);
    }
  }
  for (int q = 0; q < Q; ++q) {
    for (int d = 0; d < D; ++d) _mm256_storeu_ps(output + q * a.output_stride + 8 * d, sums[q][d]);
  }
}

void Column(const Arguments& a, Range positions, std::int64_t query, std::int64_t dimension) {
  float& output = a.output[query * a.output_stride + dimension];
  float sum = positions.begin == 0 ? 0.0f : output;
  for (std::int64_t p = positions.begin; p < positions.end; ++p) {
    sum = __builtin_fmaf(a.weights[query * a.weight_stride + p],
                         a.values[p * a.value_stride + dimension], sum);
  }
  output = sum;
}

template <int Q, int D>
void Dimensions(const Arguments& a, Range positions, std::int64_t query) {
  std::int64_t d = 0;
  for (; d + 8 * D <= a.dimension; d += 8 * D) Tile<Q, D>(a, positions, query, d);
  for (; d + 8 <= a.dimension; d += 8) Tile<Q, 1>(a, positions, query, d);
  for (; d < a.dimension; ++d) {
    for (int q = 0; q < Q; ++q) Column(a, positions, query + q, d);
  }
}

void Queries(const Arguments& a, Range positions) {
  std::int64_t query = 0;
  for (; query + 4 <= a.queries; query += 4) Dimensions<4, 2>(a, positions, query);
  for (; query < a.queries; ++query) Dimensions<1, 8>(a, positions, query);
}

}  // namespace

void WeightedSum(const Arguments& a) {
  // Values that stay in the second-level cache while all queries and dimensions pass by.
  constexpr std::int64_t kBlockFloats = 24 * 1024;
  constexpr std::int64_t kFewest = 16;
  const std::int64_t fitting = kBlockFloats / (a.value_stride > 0 ? a.value_stride : 1);
  const std::int64_t block = fitting > kFewest ? fitting : kFewest;
  std::int64_t begin = 0;
  do {
    const std::int64_t end = begin + block < a.positions ? begin + block : a.positions;
    Queries(a, {begin, end});
    begin = end;
  } while (begin < a.positions);
}

}  // namespace cloister::kernels::cpu::avx2
