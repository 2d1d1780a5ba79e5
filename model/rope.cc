#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "base/check.h"
#include "model/architecture.h"

namespace cloister::model {
namespace {

// Llama 3.1's ramp (transformers, _compute_llama3_parameters): wavelengths above the training
// context are slowed down by `factor`, short ones kept, a linear blend in between.
double Llama3Divisor(const Rope& rope, double frequency) {
  const double wavelength = 2.0 * std::numbers::pi / frequency;
  const double context = static_cast<double>(rope.original_max_positions);
  if (wavelength < context / rope.high_freq_factor) return 1.0;
  if (wavelength > context / rope.low_freq_factor) return rope.factor;
  const double smooth = (context / wavelength - rope.low_freq_factor) /
                        (rope.high_freq_factor - rope.low_freq_factor);
  return 1.0 / ((1.0 - smooth) / rope.factor + smooth);
}

// Whether two lists agree to the precision of fp32 numbers computed in fp32.
bool Agree(const std::vector<double>& a, const std::vector<double>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](double x, double y) { return std::fabs(x - y) <= 1e-5 * std::fabs(y); });
}

}  // namespace

Rope RopeFromDivisors(double theta, std::vector<double> divisors) {
  Rope rope;
  rope.theta = theta;
  const auto rotary_dim = static_cast<std::int64_t>(2 * divisors.size());
  if (rotary_dim == 0 || Agree(divisors, std::vector<double>(divisors.size(), 1.0))) return rope;
  Rope ramp = rope;
  ramp.type = Rope::Type::kLlama3;
  ramp.factor = divisors.back();
  for (std::int64_t context = 1 << 24; context >= 16; context /= 2) {
    ramp.original_max_positions = context;
    if (Agree(divisors, ramp.Divisors(rotary_dim))) return ramp;
  }
  rope.type = Rope::Type::kDivisors;
  rope.divisors = std::move(divisors);
  return rope;
}

std::vector<double> Rope::Divisors(std::int64_t rotary_dim) const {
  CLOISTER_CHECK(rotary_dim > 0 && rotary_dim % 2 == 0);
  std::vector<double> result(static_cast<std::size_t>(rotary_dim / 2), 1.0);
  if (type == Type::kDivisors) {
    CLOISTER_CHECK(divisors.size() == result.size());
    return divisors;
  }
  if (type == Type::kLlama3) {
    for (std::size_t i = 0; i < result.size(); ++i) {
      result[i] = Llama3Divisor(
          *this, std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(rotary_dim)));
    }
  }
  return result;
}

std::vector<double> Rope::InverseFrequencies(std::int64_t rotary_dim) const {
  std::vector<double> result = Divisors(rotary_dim);
  for (std::size_t i = 0; i < result.size(); ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(rotary_dim);
    result[i] = std::pow(theta, exponent) / result[i];
  }
  return result;
}

}  // namespace cloister::model
