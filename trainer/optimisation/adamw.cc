#include "trainer/optimisation/adamw.h"

#include "base/check.h"

namespace cloister::trainer {

AdamW::AdamW(const Options& options, std::size_t parameters)
    : Optimizer(options), rule_(options), first_(parameters, 0.0F), second_(parameters, 0.0F) {}

Optimizer::Moved AdamW::Update(std::size_t first, std::span<float> parameters,
                               std::span<const float> gradient, double scale) {
  CLOISTER_CHECK(steps() > 0 && parameters.size() == gradient.size());
  CLOISTER_CHECK(first <= first_.size() && parameters.size() <= first_.size() - first);
  const AdamRates rates = rule_.Rates(steps(), rate(), scale);
  return MoveInParallel(static_cast<std::int64_t>(parameters.size()), kGrain,
                        [&](std::int64_t begin, std::int64_t end) {
                          const auto at = first + static_cast<std::size_t>(begin);
                          return MoveByAdam(rates, end - begin, parameters.data() + begin,
                                            gradient.data() + begin, first_.data() + at,
                                            second_.data() + at);
                        });
}

StateArrays AdamW::State() {
  StateArrays state = {{"first_moments", StateBytes(first_)},
                       {"second_moments", StateBytes(second_)}};
  if (options().noise_bias_floor) {
    state[kNoiseVariance] = std::as_writable_bytes(std::span(&rule_.noise(), 1));
  }
  return state;
}

}  // namespace cloister::trainer
