#include "dp/mechanism/box_muller.h"

#include <boost/math/constants/constants.hpp>
#include <boost/multiprecision/cpp_bin_float.hpp>
#include <boost/multiprecision/cpp_int.hpp>

#include "dp/mechanism/box_muller_scalar.h"

namespace cloister::dp {
namespace {

namespace mp = boost::multiprecision;
using Wide = mp::number<mp::cpp_bin_float<700, mp::digit_base_2>, mp::et_off>;

constexpr int kBits = 53;
constexpr int kMoreBits = 512;

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

FirstStage EvaluatePair(UniformPair uniforms) {
  const auto stage = EvaluateLanes<ScalarLanes>(uniforms.first, uniforms.second);
  return {stage.radius, stage.cosine, stage.sine};
}

std::optional<GaussianPair> DecidePair(double sigma, UniformPair uniforms) {
  const auto stage = EvaluateLanes<ScalarLanes>(uniforms.first, uniforms.second);
  const auto rounded = RoundLanes<ScalarLanes>(sigma, stage);
  if (!rounded.decided) return std::nullopt;
  return GaussianPair(static_cast<std::int64_t>(rounded.first),
                      static_cast<std::int64_t>(rounded.second));
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
