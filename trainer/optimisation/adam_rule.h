#pragma once

// Inside trainer/optimisation/ only: AdamW's arithmetic (Loshchilov and Hutter 2019), whatever its
// moments are kept as.

#include <cstdint>

#include "trainer/optimisation/moving.h"
#include "trainer/optimisation/optimizer.h"

namespace cloister::trainer {

// One step's constants.
struct AdamRates {
  float scale = 0, first = 0, second = 0, epsilon = 0, decay = 0, size = 0;
  // Of the second moments: what makes up for their start at 0, in the root and before it.
  float root = 0, share = 0;
  bool corrected = false;
  float noise = 0, floor = 0;
};

// With options.noise_bias_floor, DP-AdamBC (Tang, Shpilevskiy and Lécuyer 2024, "DP-AdamBC: Your
// DP-Adam Is Actually DP-SGD (Unless You Apply Bias Correction)", algorithm 1): the second moments
// of noised gradients hold the noise's variance, mostly nothing else, so that Adam's direction is
// its first moment over a constant. In place of sqrt(v) + epsilon stands sqrt(max(v - noise,
// floor)), where the paper's noise is the constant (sigma C / B)^2. Here it is the mean of the
// variances that the steps had, weighted as the moments weigh their squares, so that it is as right
// where the clip norm moves or where the noise is correlated over the steps. All of it is made of
// released and public numbers: it costs no privacy.
class AdamRule {
 public:
  explicit AdamRule(const OptimizerOptions& options) : options_(options) {}

  void NoteNoise(double variance) {
    noise_ = options_.beta2 * noise_ + (1 - options_.beta2) * variance;
  }
  AdamRates Rates(std::int64_t step, double rate, double scale) const;
  // The mean of the variances, from 0: part of a checkpoint where there is a floor.
  double& noise() { return noise_; }

 private:
  OptimizerOptions options_;
  double noise_ = 0;
};

// A loop without a branch or a call, over plain pointers, for the compiler's vectors.
Seen MoveByAdam(const AdamRates& rates, std::int64_t count, float* __restrict__ parameters,
                const float* __restrict__ gradient, float* __restrict__ first,
                float* __restrict__ second);

}  // namespace cloister::trainer
