#pragma once

#include <cstdint>

#include "base/result.h"
#include "dp/mechanism/privacy_types.h"

namespace cloister::trainer {

// How many steps a private run takes over its data, and at what rate each draws.
struct StepChoice {
  std::int64_t steps = 0;
  double sampling_rate = 0;
  double noise_multiplier = 0;  // the smallest that keeps the target
};

struct StepQuestion {
  double epsilon = 0;
  double delta = 0;
  dp::Neighbours neighbours{};
  std::int64_t units = 0;  // public
  double epochs = 0;       // passes over the data, in expectation
};

// With so many passes, E, the noise of all steps over the sum of all gradients is σ√T / (E ·
// units). While σ is large it hardly depends on T, and more and smaller steps are free; below a
// multiplier of one, sampling amplifies less and less, and it grows nearly as √T. So: the most
// steps whose noise multiplier is one or more, at least as many as there are passes, each of an
// expected batch of kLeastBatch units or more. kInvalidArgument for a target that no noise keeps.
inline constexpr double kLeastNoise = 1.0;
inline constexpr std::int64_t kLeastBatch = 16;
base::Result<StepChoice> ChooseSteps(const StepQuestion& question);

}  // namespace cloister::trainer
