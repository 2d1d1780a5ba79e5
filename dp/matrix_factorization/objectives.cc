#include "dp/matrix_factorization/objectives.h"

#include <algorithm>

namespace cloister::dp {
namespace {

// x C = a of one row: entries up to `row` of B = A C^-1, from the right.
void SolveFromRight(std::size_t row, std::size_t bands, std::span<const double> columns,
                    std::vector<double>& x) {
  for (std::size_t j = row + 1; j-- > 0;) {
    const double* const column = columns.data() + j * bands;
    const std::size_t reach = std::min(bands, row - j + 1);
    double value = x[j];
    for (std::size_t below = 1; below < reach; ++below) value -= x[j + below] * column[below];
    x[j] = value / column[0];
  }
}

// v C^T = b of one row, entries 0 to `row`, from the left.
void SolveTransposedFromLeft(std::size_t row, std::size_t bands, std::span<const double> columns,
                             std::vector<double>& v) {
  for (std::size_t k = 0; k <= row; ++k) {
    const std::size_t reach = std::min(bands, k + 1);
    double value = v[k];
    for (std::size_t back = 1; back < reach; ++back) {
      value -= v[k - back] * columns[(k - back) * bands + back];
    }
    v[k] = value / columns[k * bands];
  }
}

}  // namespace

ValueAndGradient ToeplitzError(const Workload& workload, std::span<const double> c) {
  const auto n = static_cast<std::size_t>(workload.steps);
  const std::size_t bands = c.size();
  // C^-1's first column g, then B's: momentum sums of g, prefix sums of those.
  std::vector<double> g(n);
  std::vector<double> adjoint(n);
  ValueAndGradient result{0, std::vector<double>(bands)};
  double momentum_sum = 0;
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) {
    double value = i == 0 ? 1 : 0;
    for (std::size_t l = 1; l < std::min(bands, i + 1); ++l) value -= c[l] * g[i - l];
    g[i] = value / c[0];
    momentum_sum = workload.momentum * momentum_sum + g[i];
    sum += momentum_sum;
    const double weight = static_cast<double>(n - i) / static_cast<double>(n);
    result.value += weight * sum * sum;
    adjoint[i] = 2 * weight * sum;
  }
  // Backwards through the same three sums.
  double after_sum = 0;
  double after_momentum = 0;
  for (std::size_t i = n; i-- > 0;) {
    after_sum += adjoint[i];
    after_momentum = after_sum + workload.momentum * after_momentum;
    double value = after_momentum;
    for (std::size_t l = 1; l < std::min(bands, n - i); ++l) value -= c[l] * adjoint[i + l];
    adjoint[i] = value / c[0];
    for (std::size_t l = 0; l < std::min(bands, i + 1); ++l) {
      result.gradient[l] -= adjoint[i] * g[i - l];
    }
  }
  return result;
}

ValueAndGradient BandedError(const Workload& workload, std::int64_t bands,
                             std::span<const double> columns) {
  const auto n = static_cast<std::size_t>(workload.steps);
  const auto width = static_cast<std::size_t>(bands);
  const std::vector<double> a = WorkloadColumn(workload, workload.steps);
  ValueAndGradient result{0, std::vector<double>(columns.size())};
  std::vector<double> b(n);
  std::vector<double> v(n);
  const double share = 1 / static_cast<double>(n);
  // dF/dC = -2 B^T V with B = A C^-1 and V C^T = B, a row of both at a time.
  for (std::size_t row = 0; row < n; ++row) {
    for (std::size_t j = 0; j <= row; ++j) b[j] = a[row - j];
    SolveFromRight(row, width, columns, b);
    std::copy_n(b.begin(), row + 1, v.begin());
    SolveTransposedFromLeft(row, width, columns, v);
    for (std::size_t j = 0; j <= row; ++j) {
      result.value += share * b[j] * b[j];
      double* const gradient = result.gradient.data() + j * width;
      const std::size_t reach = std::min(width, row - j + 1);
      const double factor = -2 * share * v[j];
      for (std::size_t below = 0; below < reach; ++below) gradient[below] += factor * b[j + below];
    }
  }
  return result;
}

}  // namespace cloister::dp
