#include "dp/mechanism/box_muller.h"

#include <boost/math/constants/constants.hpp>
#include <boost/multiprecision/cpp_bin_float.hpp>
#include <boost/multiprecision/cpp_int.hpp>
#include <span>
#include <utility>

#include "dp/mechanism/box_muller_scalar.h"

namespace cloister::dp {
namespace {

namespace mp = boost::multiprecision;
template <unsigned Bits>
using Float = mp::number<mp::cpp_bin_float<Bits, mp::digit_base_2>, mp::et_off>;
using Middle = Float<192>;
using Wide = Float<700>;

constexpr int kBits = 53;
constexpr int kWordBits = 64;

// What the first 53 bits and the words after them say of a uniform.
template <typename T>
T Uniform(std::uint64_t bits, std::span<const std::uint64_t> more) {
  mp::cpp_int numerator = bits;
  for (const std::uint64_t word : more) numerator = (numerator << kWordBits) | word;
  // ln 0: the only value that 565 bits cannot tell from 0 stands for its interval's other end.
  if (numerator == 0) numerator = 1;
  return mp::ldexp(T(numerator), -(kBits + kWordBits * static_cast<int>(more.size())));
}

template <typename T>
T Radius(const T& u1) {
  return mp::sqrt(T(-2) * mp::log(u1));
}
template <typename T>
std::pair<T, T> Numbers(double sigma, const T& radius, const T& u2) {
  const T angle = 2 * boost::math::constants::pi<T>() * u2;
  const T scaled = sigma * radius;
  return {scaled * mp::cos(angle), scaled * mp::sin(angle)};
}

template <typename T>
std::int64_t Round(const T& value) {
  return mp::floor(value + T(0.5)).template convert_to<std::int64_t>();
}

// Whether no value within `error` of `value` rounds elsewhere.
bool IsDecided(const Middle& value, double error) {
  const Middle distance = value - mp::floor(value) - Middle(0.5);
  return mp::abs(distance) > Middle(error);
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

std::optional<GaussianPair> DecideMiddlePair(double sigma, UniformPair uniforms,
                                             const MoreBits& first, const MoreBits& second) {
  if (!InFirstStageRange(uniforms.first)) return std::nullopt;
  const auto u1 = Uniform<Middle>(uniforms.first, std::span(first).first<1>());
  const auto u2 = Uniform<Middle>(uniforms.second, std::span(second).first<1>());
  const Middle radius = Radius(u1);
  const auto [x, y] = Numbers(sigma, radius, u2);
  const auto r = radius.convert_to<double>();
  // The bits after 117: of U1, and of U2 with what 192-bit arithmetic rounds.
  const double error = sigma * 0x1p-117 * (1.1 / (u1.convert_to<double>() * r) + 8 * r);
  if (!IsDecided(x, error) || !IsDecided(y, error)) return std::nullopt;
  return GaussianPair(Round(x), Round(y));
}

GaussianPair ExactPair(double sigma, UniformPair uniforms, const MoreBits& first,
                       const MoreBits& second) {
  const Wide radius = Radius(Uniform<Wide>(uniforms.first, first));
  const auto [x, y] = Numbers(sigma, radius, Uniform<Wide>(uniforms.second, second));
  return {Round(x), Round(y)};
}

}  // namespace cloister::dp
