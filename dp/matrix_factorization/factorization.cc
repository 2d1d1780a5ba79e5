#include "dp/matrix_factorization/factorization.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "dp/matrix_factorization/objectives.h"

namespace cloister::dp {
namespace {

using Vector = std::vector<double>;

constexpr int kMostIterations = 200;
// Of the error, relatively, an iteration: far below what 12 bits of fraction change.
constexpr double kLeastToeplitzGain = 1e-10;
constexpr double kLeastBandedGain = 1e-7;

base::Status Check(const Workload& workload, std::int64_t bands) {
  CLOISTER_RETURN_IF_ERROR(Validate(workload));
  if (bands < 1 || bands > std::min(workload.steps, kMostBands)) {
    return base::Fail(
        base::Code::kInvalidArgument,
        "matrix factorization, bands: give a whole number from 1 to 1024, at most the "
        "number of steps");
  }
  return {};
}

double SquaredNorm(std::span<const double> x) {
  return std::inner_product(x.begin(), x.end(), x.begin(), 0.0);
}

// Entries that lie in the matrix, of a column with `rows` rows from its diagonal down.
std::size_t Inside(std::size_t bands, std::size_t rows) { return std::min(bands, rows); }

// log error + log |c|^2, which does not change with c's scale, at c[0] = 1; over c[1] ….
ValueAndGradient ToeplitzObjective(const Workload& workload, const Vector& tail) {
  Vector c = {1};
  c.insert(c.end(), tail.begin(), tail.end());
  const ValueAndGradient error = ToeplitzError(workload, c);
  const double norm = SquaredNorm(c);
  ValueAndGradient objective{std::log(error.value) + std::log(norm), Vector(tail.size())};
  for (std::size_t i = 0; i < tail.size(); ++i) {
    objective.gradient[i] = error.gradient[i + 1] / error.value + 2 * c[i + 1] / norm;
  }
  return objective;
}

// Columns of norm 1 in the place of each; entries below the last row become 0.
Vector Normalized(const Vector& columns, std::size_t bands) {
  const std::size_t count = columns.size() / bands;
  Vector normalized(columns.size());
  for (std::size_t j = 0; j < count; ++j) {
    const std::span column = std::span(columns).subspan(j * bands, Inside(bands, count - j));
    const double norm = std::sqrt(SquaredNorm(column));
    for (std::size_t i = 0; i < column.size(); ++i) normalized[j * bands + i] = column[i] / norm;
  }
  return normalized;
}

// log error of the normalized columns, over the columns as they stand.
ValueAndGradient BandedObjective(const Workload& workload, std::int64_t bands,
                                 const Vector& columns) {
  const auto width = static_cast<std::size_t>(bands);
  const std::size_t count = columns.size() / width;
  const Vector unit = Normalized(columns, width);
  ValueAndGradient objective = BandedError(workload, bands, unit);
  for (std::size_t j = 0; j < count; ++j) {
    const std::size_t inside = Inside(width, count - j);
    double* const gradient = objective.gradient.data() + j * width;
    const double* const column = unit.data() + j * width;
    const double norm = std::sqrt(SquaredNorm(std::span(columns).subspan(j * width, inside)));
    const double along = std::inner_product(column, column + inside, gradient, 0.0);
    for (std::size_t i = 0; i < inside; ++i) {
      gradient[i] = (gradient[i] - along * column[i]) / norm / objective.value;
    }
  }
  objective.value = std::log(objective.value);
  return objective;
}

// Columns of the optimal Toeplitz matrix, `count` of them, the last of the matrix.
Vector ToeplitzColumns(const Workload& workload, std::int64_t bands, std::int64_t count) {
  Vector tail = SquareRootColumn(workload, bands);
  tail.erase(tail.begin());
  tail = MinimizeLbfgs([&](const Vector& x) { return ToeplitzObjective(workload, x); },
                       std::move(tail), kLeastToeplitzGain, kMostIterations);
  Vector columns;
  for (std::int64_t j = 0; j < count; ++j) {
    columns.push_back(1);
    columns.insert(columns.end(), tail.begin(), tail.end());
  }
  return Normalized(columns, static_cast<std::size_t>(bands));
}

}  // namespace

base::Result<BandedMatrix> OptimizeToeplitz(const Workload& workload, std::int64_t bands) {
  CLOISTER_RETURN_IF_ERROR(Check(workload, bands));
  return BandedMatrix::FromColumns(workload.steps, bands, ToeplitzColumns(workload, bands, bands));
}

base::Result<BandedMatrix> OptimizeBanded(const Workload& workload, std::int64_t bands) {
  CLOISTER_RETURN_IF_ERROR(Check(workload, bands));
  if (workload.steps > kMostGeneralWork / workload.steps / bands) {
    return base::Fail(base::Code::kInvalidArgument,
                      "matrix factorization, steps: too many for a general matrix (steps^2 * bands "
                      "beyond 2^26): use the Toeplitz one");
  }
  Vector columns = ToeplitzColumns(workload, bands, workload.steps);
  columns = MinimizeLbfgs([&](const Vector& x) { return BandedObjective(workload, bands, x); },
                          std::move(columns), kLeastBandedGain, kMostIterations);
  return BandedMatrix::FromColumns(workload.steps, bands,
                                   Normalized(columns, static_cast<std::size_t>(bands)));
}

double MeanSquaredError(const BandedMatrix& matrix, const Workload& workload) {
  Vector columns;
  for (std::int64_t j = 0; j < matrix.steps(); ++j) {
    for (std::int64_t below = 0; below < matrix.bands(); ++below) {
      columns.push_back(matrix.entry(j, below) / double{BandedMatrix::kOne});
    }
  }
  return BandedError(workload, matrix.bands(), columns).value;
}

}  // namespace cloister::dp
