#pragma once

// Inside dp/matrix_factorization/ and its tests only.

#include <functional>
#include <vector>

namespace cloister::dp {

struct ValueAndGradient {
  double value = 0;  // not finite: outside of the domain
  std::vector<double> gradient;
};

// A local minimum of a smooth function by L-BFGS (Nocedal and Wright, Numerical Optimization,
// algorithm 7.5) with backtracking, from a point where it is finite. Never worse than the start.
// Stops when an iteration gains less than `least_gain`, or after `most_iterations`.
std::vector<double> MinimizeLbfgs(
    const std::function<ValueAndGradient(const std::vector<double>&)>& function,
    std::vector<double> start, double least_gain, int most_iterations);

}  // namespace cloister::dp
