#include "dp/matrix_factorization/workload.h"

#include <string>

namespace cloister::dp {

base::Status Validate(const Workload& workload) {
  if (workload.steps < 1 || workload.steps > kMostMatrixSteps) {
    return base::Fail(base::Code::kInvalidArgument,
                      "matrix factorization, steps: give a whole number from 1 to 2^20");
  }
  if (!(workload.momentum >= 0 && workload.momentum < 1)) {
    return base::Fail(base::Code::kInvalidArgument,
                      "matrix factorization, momentum: give a number from 0 to below 1");
  }
  return {};
}

std::vector<double> WorkloadColumn(const Workload& workload, std::int64_t count) {
  std::vector<double> column;
  double momentum_sum = 1;
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    column.push_back(sum += momentum_sum);
    momentum_sum *= workload.momentum;
  }
  return column;
}

std::vector<double> SquareRootColumn(const Workload& workload, std::int64_t count) {
  // (1 - z)^(-1/2) = sum of binomial(2i, i) / 4^i z^i.
  std::vector<double> root;
  double coefficient = 1;
  for (std::int64_t i = 0; i < count; ++i) {
    root.push_back(coefficient);
    coefficient *= (static_cast<double>(i) + 0.5) / static_cast<double>(i + 1);
  }
  if (workload.momentum == 0) return root;
  std::vector<double> product(root.size());
  double power = 1;
  for (std::size_t i = 0; i < root.size() && power > 0; ++i, power *= workload.momentum) {
    for (std::size_t j = 0; i + j < root.size(); ++j) product[i + j] += power * root[i] * root[j];
  }
  return product;
}

}  // namespace cloister::dp
