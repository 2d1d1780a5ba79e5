#include "trainer/optimisation/sgd.h"

#include "base/check.h"
#include "trainer/optimisation/moving.h"

namespace cloister::trainer {
namespace {

struct Rates {
  float scale = 0, decay = 0, momentum = 0, size = 0;
  float of_gradient = 0, of_momentum = 1;  // in the direction
};

Seen Move(const Rates& rates, std::int64_t count, float* __restrict__ parameters,
          const float* __restrict__ gradient, float* __restrict__ momentum) {
  Seen seen;
  for (std::int64_t i = 0; i < count; ++i) {
    const float before = parameters[i];
    const float g = rates.scale * gradient[i] + rates.decay * before;
    momentum[i] = rates.momentum * momentum[i] + g;
    const float direction = rates.of_gradient * g + rates.of_momentum * momentum[i];
    const float after = before - rates.size * direction;
    parameters[i] = after;
    seen.Add(before, after);
  }
  return seen;
}

Seen MoveWithoutMomentum(const Rates& rates, std::int64_t count, float* __restrict__ parameters,
                         const float* __restrict__ gradient) {
  Seen seen;
  for (std::int64_t i = 0; i < count; ++i) {
    const float before = parameters[i];
    const float after = before - rates.size * (rates.scale * gradient[i] + rates.decay * before);
    parameters[i] = after;
    seen.Add(before, after);
  }
  return seen;
}

}  // namespace

Sgd::Sgd(const Options& options, std::size_t parameters)
    : Optimizer(options), size_(parameters), momentum_(options.momentum > 0 ? parameters : 0) {}

Optimizer::Moved Sgd::Update(std::size_t first, std::span<float> parameters,
                             std::span<const float> gradient, double scale) {
  CLOISTER_CHECK(steps() > 0 && parameters.size() == gradient.size());
  CLOISTER_CHECK(first <= size_ && parameters.size() <= size_ - first);
  const auto momentum = static_cast<float>(options().momentum);
  const Rates rates = {.scale = static_cast<float>(scale),
                       .decay = static_cast<float>(options().weight_decay),
                       .momentum = momentum,
                       .size = static_cast<float>(rate()),
                       .of_gradient = options().nesterov ? 1.0F : 0.0F,
                       .of_momentum = options().nesterov ? momentum : 1.0F};
  return MoveInParallel(static_cast<std::int64_t>(parameters.size()), kGrain,
                        [&](std::int64_t begin, std::int64_t end) {
                          float* const values = parameters.data() + begin;
                          const float* const slopes = gradient.data() + begin;
                          if (momentum_.empty()) {
                            return MoveWithoutMomentum(rates, end - begin, values, slopes);
                          }
                          return Move(rates, end - begin, values, slopes,
                                      momentum_.data() + first + begin);
                        });
}

StateArrays Sgd::State() {
  if (options().momentum <= 0) return {};
  return {{"momentum", StateBytes(momentum_)}};
}

}  // namespace cloister::trainer
