#include "dp/mechanism/box_muller.h"

#include <boost/math/constants/constants.hpp>
#include <boost/multiprecision/cpp_bin_float.hpp>
#include <boost/multiprecision/cpp_int.hpp>
#include <cmath>
#include <numbers>

namespace cloister::dp {
namespace {

namespace mp = boost::multiprecision;
using Wide = mp::number<mp::cpp_bin_float<700, mp::digit_base_2>, mp::et_off>;

constexpr int kBits = 53;
constexpr int kMoreBits = 512;
constexpr std::uint64_t kRange = std::uint64_t{1} << kBits;

// Outside of these the derivative of sqrt(-2 ln u) varies too much over one step of 2^-53 for the
// bound below: a chance of about 2^-32.
constexpr std::uint64_t kLeast = std::uint64_t{1} << 10;
constexpr std::uint64_t kMost = kRange - (std::uint64_t{1} << 20);

// The nearest integer, where no value within `error` of `value` rounds elsewhere.
std::optional<std::int64_t> Round(double value, double error) {
  const double floor = std::floor(value);
  const double fraction = value - floor;  // exact: both are multiples of value's last bit
  if (!(std::abs(fraction - 0.5) > error)) return std::nullopt;
  return static_cast<std::int64_t>(floor) + (fraction > 0.5 ? 1 : 0);
}

Wide WholeUniform(std::uint64_t bits, const MoreBits& more) {
  mp::cpp_int numerator = bits;
  for (const std::uint64_t word : more) numerator = (numerator << 64) | word;
  // ln 0: the only value that the 565 bits cannot tell from 0 stands for its interval's other end.
  if (numerator == 0) numerator = 1;
  return mp::ldexp(Wide(numerator), -(kBits + kMoreBits));
}

std::int64_t RoundWide(const Wide& value) {
  return mp::floor(value + Wide(0.5)).convert_to<std::int64_t>();
}

}  // namespace

std::optional<GaussianPair> DecidePair(double sigma, UniformPair uniforms) {
  if (uniforms.first < kLeast || uniforms.first > kMost) return std::nullopt;
  const double u1 = std::ldexp(static_cast<double>(uniforms.first), -kBits);
  const double u2 = std::ldexp(static_cast<double>(uniforms.second), -kBits);
  const double radius = std::sqrt(-2 * std::log(u1));
  const double angle = 2 * std::numbers::pi * u2;
  // The undrawn bits of U1 move the radius by at most 2^-53 / (u1 r), the second term holds those
  // of U2 and every rounding, libm's within 4 ulp included.
  const double error = sigma * 0x1p-53 * (1.1 / (u1 * radius) + 48 * radius);
  const std::optional<std::int64_t> first = Round(sigma * radius * std::cos(angle), error);
  const std::optional<std::int64_t> second = Round(sigma * radius * std::sin(angle), error);
  if (!first || !second) return std::nullopt;
  return GaussianPair(*first, *second);
}

GaussianPair ExactPair(double sigma, UniformPair uniforms, const MoreBits& first,
                       const MoreBits& second) {
  const Wide u1 = WholeUniform(uniforms.first, first);
  const Wide u2 = WholeUniform(uniforms.second, second);
  const Wide radius = Wide(sigma) * mp::sqrt(Wide(-2) * mp::log(u1));
  const Wide angle = 2 * boost::math::constants::pi<Wide>() * u2;
  return {RoundWide(radius * mp::cos(angle)), RoundWide(radius * mp::sin(angle))};
}

}  // namespace cloister::dp
