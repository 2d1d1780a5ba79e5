#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"

namespace cloister::dp {

// What training computes from the steps' sums x_0 … x_{n-1}: A x, the models' distances from the
// start under SGD of learning rate 1. A is lower triangular and Toeplitz: prefix sums, of momentum
// sums m_t = momentum * m_{t-1} + x_t.
struct Workload {
  std::int64_t steps = 0;
  double momentum = 0;  // 0: prefix sums
};

inline constexpr std::int64_t kMostMatrixSteps = std::int64_t{1} << 20;
inline constexpr std::int64_t kMostBands = 1024;

// kInvalidArgument: 1 <= steps <= 2^20, 0 <= momentum < 1.
base::Status Validate(const Workload& workload);
// The first `count` entries of A's first column: (1 - momentum^(i+1)) / (1 - momentum).
std::vector<double> WorkloadColumn(const Workload& workload, std::int64_t count);
// The first `count` coefficients of A's square root, (1 - x)^(-1/2) (1 - momentum x)^(-1/2): with
// count = steps and no momentum, the factorization of Fichtenberger, Henzinger and Upadhyay (2022).
std::vector<double> SquareRootColumn(const Workload& workload, std::int64_t count);

}  // namespace cloister::dp
