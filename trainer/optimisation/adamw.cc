#include "trainer/optimisation/adamw.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace cloister::trainer {
namespace {

// A thread's share of the work is at least so many parameters.
constexpr std::int64_t kGrain = std::int64_t{1} << 16;

// One step's constants.
struct Rates {
  float scale = 0, first = 0, second = 0, root = 0, epsilon = 0, decay = 0, size = 0;
};

// A loop without a branch or a call, over plain pointers, for the compiler's vectors. Bits of
// `exponents` are set where a parameter's exponent says that it is not finite, of `changed` where a
// parameter changed.
struct Seen {
  std::uint32_t changed = 0, exponents = 0;
};
Seen Move(const Rates& rate, std::int64_t count, float* __restrict__ parameters,
          const float* __restrict__ gradient, float* __restrict__ first,
          float* __restrict__ second) {
  constexpr std::uint32_t kExponent = 0x7f800000;
  Seen seen;
  for (std::int64_t i = 0; i < count; ++i) {
    const float g = rate.scale * gradient[i];
    first[i] += rate.first * (g - first[i]);
    second[i] += rate.second * (g * g - second[i]);
    const float before = parameters[i];
    const float direction = first[i] / (std::sqrt(second[i]) * rate.root + rate.epsilon);
    const float after = before - (rate.size * direction + rate.decay * before);
    parameters[i] = after;
    const auto bits = std::bit_cast<std::uint32_t>(after);
    seen.changed |= bits ^ std::bit_cast<std::uint32_t>(before);
    seen.exponents |= (bits & kExponent) == kExponent ? 1U : 0U;
  }
  return seen;
}

}  // namespace

AdamW::AdamW(const Options& options, std::size_t parameters)
    : options_(options), first_(parameters, 0.0F), second_(parameters, 0.0F) {}

void AdamW::Begin(double rate_share) {
  ++steps_;
  rate_ = options_.learning_rate * rate_share;
}

AdamW::Moved AdamW::Update(std::size_t first, std::span<float> parameters,
                           std::span<const float> gradient, double scale) {
  CLOISTER_CHECK(steps_ > 0 && parameters.size() == gradient.size());
  CLOISTER_CHECK(first <= first_.size() && parameters.size() <= first_.size() - first);
  const auto share = [this](double beta) {
    return 1 - std::pow(beta, static_cast<double>(steps_));
  };
  const Rates rate = {
      .scale = static_cast<float>(scale),
      .first = static_cast<float>(1 - options_.beta1),
      .second = static_cast<float>(1 - options_.beta2),
      .root = static_cast<float>(1 / std::sqrt(share(options_.beta2))),
      // 0 / 0 where neither gradient nor epsilon is left.
      .epsilon = std::max(static_cast<float>(options_.epsilon), std::numeric_limits<float>::min()),
      .decay = static_cast<float>(rate_ * options_.weight_decay),
      .size = static_cast<float>(rate_ / share(options_.beta1))};
  std::atomic<std::uint32_t> changed = 0, exponents = 0;
  at::parallel_for(0, static_cast<std::int64_t>(parameters.size()), kGrain,
                   [&](std::int64_t begin, std::int64_t end) {
                     const auto at = first + static_cast<std::size_t>(begin);
                     const Seen seen =
                         Move(rate, end - begin, parameters.data() + begin, gradient.data() + begin,
                              first_.data() + at, second_.data() + at);
                     changed |= seen.changed;
                     exponents |= seen.exponents;
                   });
  return {changed != 0, exponents == 0};
}

}  // namespace cloister::trainer
