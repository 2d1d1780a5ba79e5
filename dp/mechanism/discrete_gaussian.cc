#include "dp/mechanism/discrete_gaussian.h"

#include <algorithm>
#include <array>
#include <boost/multiprecision/cpp_int.hpp>
#include <utility>

namespace cloister::dp {
namespace {

namespace mp = boost::multiprecision;
using Integer = mp::cpp_int;

constexpr std::uint64_t kLargest = std::uint64_t{1} << 40;

// Uniform on [0, bound), bound > 0: as many bits as the bound has, again until they are below it.
Integer UniformBelow(const Integer& bound, security::AesCtrStream& random) {
  const unsigned bits = mp::msb(bound) + 1;
  for (;;) {
    Integer value = 0;
    for (unsigned done = 0; done < bits; done += 64) {
      const unsigned part = std::min(64U, bits - done);
      value = (value << part) | (random.NextU64() >> (64 - part));
    }
    if (value < bound) return value;
  }
}

bool Bernoulli(const Integer& numerator, const Integer& denominator,
               security::AesCtrStream& random) {
  return UniformBelow(denominator, random) < numerator;
}

// True with probability exp(-numerator / denominator), for a ratio of at most 1. Algorithm 1: the
// number of successes of probabilities ratio/1, ratio/2, … in a row is even with that probability.
bool BernoulliExpFraction(const Integer& numerator, const Integer& denominator,
                          security::AesCtrStream& random) {
  Integer scaled = denominator;
  bool even = true;
  while (Bernoulli(numerator, scaled, random)) {
    even = !even;
    scaled += denominator;
  }
  return even;
}

// The same for any ratio from 0 on: a factor of exp(-1) for each whole.
bool BernoulliExp(const Integer& numerator, const Integer& denominator,
                  security::AesCtrStream& random) {
  Integer whole;
  Integer rest;
  mp::divide_qr(numerator, denominator, whole, rest);
  for (; whole > 0; --whole) {
    if (!BernoulliExpFraction(1, 1, random)) return false;
  }
  return BernoulliExpFraction(rest, denominator, random);
}

}  // namespace

base::Result<DiscreteGaussianSampler> DiscreteGaussianSampler::Create(
    std::uint64_t variance_numerator, std::uint64_t variance_denominator,
    security::AesCtrStream random) {
  if (variance_numerator < 1 || variance_numerator > kLargest || variance_denominator < 1 ||
      variance_denominator > kLargest) {
    return base::Fail(base::Code::kInvalidArgument,
                      "discrete Gaussian, variance: give it as a ratio of two whole numbers from 1 "
                      "to 2^40");
  }
  return DiscreteGaussianSampler(variance_numerator, variance_denominator, std::move(random));
}

DiscreteGaussianSampler::DiscreteGaussianSampler(std::uint64_t numerator, std::uint64_t denominator,
                                                 security::AesCtrStream random)
    : numerator_(numerator),
      denominator_(denominator),
      // floor(sqrt(a / b)) is floor(sqrt(floor(a / b))).
      scale_(mp::sqrt(Integer(numerator / denominator)).convert_to<std::uint64_t>() + 1),
      random_(std::move(random)) {}

// Algorithm 2 with a whole scale: P(n) proportional to exp(-|n| / scale).
std::int64_t DiscreteGaussianSampler::NextLaplace() {
  for (;;) {
    const std::uint64_t remainder = random_.NextBelow(scale_);
    if (!BernoulliExpFraction(remainder, scale_, random_)) continue;
    std::uint64_t magnitude = remainder;
    while (BernoulliExpFraction(1, 1, random_)) magnitude += scale_;
    const bool negative = random_.NextBelow(2) == 1;
    if (negative && magnitude == 0) continue;  // 0 has one sign
    const auto value = static_cast<std::int64_t>(magnitude);
    return negative ? -value : value;
  }
}

std::int64_t DiscreteGaussianSampler::Next() {
  // Algorithm 3: n is kept with probability exp(-(|n| - v/t)^2 / (2 v)), where v = a / b is the
  // variance and t the scale: the exponent is (|n| t b - a)^2 / (2 a b t^2).
  const Integer a = numerator_;
  const Integer b = denominator_;
  const Integer denominator = 2 * a * b * scale_ * scale_;
  for (;;) {
    const std::int64_t value = NextLaplace();
    const Integer distance = Integer(value < 0 ? -value : value) * scale_ * b - a;
    if (BernoulliExp(distance * distance, denominator, random_)) return value;
  }
}

void DiscreteGaussianSampler::Fill(std::span<std::int64_t> samples) {
  for (std::int64_t& sample : samples) sample = Next();
}

}  // namespace cloister::dp
