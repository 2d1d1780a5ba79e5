#include "dp/mechanism/aliasing.h"

#include <cmath>
#include <limits>
#include <numbers>

#include "base/check.h"

namespace cloister::dp {

double LogAliasingBound(double sigma, std::int64_t shares) {
  CLOISTER_CHECK(sigma >= 0.5 && shares >= 1 && shares <= 1024);
  // One rounded Gaussian is a rounded Gaussian.
  if (shares == 1) return -std::numeric_limits<double>::infinity();
  const auto m = static_cast<double>(shares);
  const double exponent = -std::numbers::pi * std::numbers::pi * sigma * sigma;
  const double reach = std::numbers::pi * m * sigma * sigma + m;
  // (reach + 1) * 2.1 (m 3.1^(m-1) + 1) e^exponent + 4 e^exponent, its terms joined upwards.
  return exponent + std::log(reach + 1) + std::log(2.1 * (m + 1) + 4) + (m - 1) * std::log(3.1);
}

double AliasingBound(double sigma, std::int64_t shares) {
  CLOISTER_CHECK(sigma >= 16);
  if (shares == 1) return 0;
  // Not 0, which would claim more than was proved, where exp underflows.
  return std::fmax(std::exp(LogAliasingBound(sigma, shares)), 1e-300);
}

}  // namespace cloister::dp
