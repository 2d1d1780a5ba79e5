#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "base/check.h"

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

// YaRN's ramp (arXiv 2309.00071 §3.2; transformers, _compute_yarn_parameters): dimensions that turn
// more than beta_fast times within the training context are kept, those below beta_slow divided.
std::vector<double> YarnDivisors(const Rope& rope, std::int64_t rotary_dim) {
  const auto dim = static_cast<double>(rotary_dim);
  const auto dimension_of = [&](double rotations) {
    const double context = static_cast<double>(rope.original_max_positions);
    return dim * std::log(context / (rotations * 2.0 * std::numbers::pi)) /
           (2.0 * std::log(rope.theta));
  };
  double low = dimension_of(rope.beta_fast), high = dimension_of(rope.beta_slow);
  if (rope.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0), high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  std::vector<double> divisors(static_cast<std::size_t>(rotary_dim / 2));
  for (std::size_t i = 0; i < divisors.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    divisors[i] = 1.0 / ((1.0 - ramp) + ramp / rope.factor);
  }
  return divisors;
}

double Mscale(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
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
  switch (type) {
    case Type::kDefault:
    case Type::kDynamic:
      return result;
    case Type::kLinear:
      result.assign(result.size(), factor);
      return result;
    case Type::kYarn:
      return YarnDivisors(*this, rotary_dim);
    case Type::kDivisors:
      CLOISTER_CHECK(divisors.size() == result.size());
      return divisors;
    case Type::kLlama3:
      break;
  }
  for (std::size_t i = 0; i < result.size(); ++i) {
    result[i] = Llama3Divisor(
        *this, std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(rotary_dim)));
  }
  return result;
}

std::vector<double> Rope::InverseFrequencies(std::int64_t rotary_dim, std::int64_t length) const {
  std::vector<double> result = Divisors(rotary_dim);
  const auto dim = static_cast<double>(rotary_dim);
  double base = theta;
  if (type == Type::kDynamic && length > original_max_positions) {
    const double stretch =
        factor * static_cast<double>(length) / static_cast<double>(original_max_positions) -
        (factor - 1);
    base *= std::pow(stretch, dim / (dim - 2));
  }
  for (std::size_t i = 0; i < result.size(); ++i) {
    result[i] = std::pow(base, -2.0 * static_cast<double>(i) / dim) / result[i];
  }
  return result;
}

double Rope::RotationScale() const {
  if (type != Type::kYarn) return 1.0;
  if (attention_factor > 0) return attention_factor;
  if (mscale > 0 && mscale_all_dim > 0) {
    return Mscale(factor, mscale) / Mscale(factor, mscale_all_dim);
  }
  return Mscale(factor, 1.0);
}

double Rope::LatentScoreScale() const {
  if (type != Type::kYarn || mscale_all_dim <= 0) return 1.0;
  const double scale = Mscale(factor, mscale_all_dim);
  return scale * scale;
}

}  // namespace cloister::model
