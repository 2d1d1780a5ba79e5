#pragma once

#include "kernels/cpu/avx2_common.h"
#include "kernels/cpu/kernels.h"

// Eight rows of weights, a lane each. Unnamed, as avx2_common.h.
namespace cloister::kernels::cpu::avx2 {
namespace {

constexpr std::int64_t kLanes = 8;

struct Rows {
  const std::byte* row[kLanes];
  std::int64_t count;  // rows from `count` on repeat the last one
};

inline Rows RowsFrom(const MatmulArguments& a, std::int64_t first) {
  Rows rows;
  rows.count = a.rows - first < kLanes ? a.rows - first : kLanes;
  for (std::int64_t r = 0; r < kLanes; ++r) {
    const std::int64_t own = r < rows.count ? r : rows.count - 1;
    rows.row[r] = a.weights + (first + own) * a.row_bytes;
  }
  return rows;
}

// How far ahead of the row at hand to ask for weights that are read once: the same row of a later
// group of eight, far enough for memory to answer.
inline std::int64_t BytesAhead(const MatmulArguments& a) {
  constexpr std::int64_t kFar = 12 * 1024;
  const std::int64_t group = kLanes * a.row_bytes;
  return group >= kFar ? group : (kFar + group - 1) / group * group;
}

inline void ClearResults(const MatmulArguments& a) {
  for (std::int64_t t = 0; t < a.tokens; ++t) {
    for (std::int64_t r = 0; r < a.rows; ++r) a.output[t * a.output_stride + r] = 0;
  }
}

}  // namespace
}  // namespace cloister::kernels::cpu::avx2
