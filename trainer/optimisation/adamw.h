#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace cloister::trainer {

// AdamW (Loshchilov and Hutter 2019) over one flat vector, in fp32: 8 bytes of moments a parameter
// and nothing besides. Results do not depend on the number of threads. Not thread-safe.
class AdamW {
 public:
  struct Options {
    double learning_rate = 0;
    double beta1 = 0.9;
    double beta2 = 0.999;
    double epsilon = 1e-8;
    double weight_decay = 0;

    friend bool operator==(const Options&, const Options&) = default;
  };

  AdamW(const Options& options, std::size_t parameters);

  // A step: Begin, then Update for every parameter once, in pieces of any size and order.
  // `rate_share`: what the step takes of learning_rate, its decay included.
  void Begin(double rate_share = 1);

  // What a checkpoint keeps.
  std::int64_t steps() const { return steps_; }
  std::span<const float> first_moments() const { return first_; }
  std::span<const float> second_moments() const { return second_; }
  // To go on from one: the moments are written where they stand.
  void SetSteps(std::int64_t steps) { steps_ = steps; }
  std::span<float> first_moments() { return first_; }
  std::span<float> second_moments() { return second_; }

  struct Moved {
    bool any = false;    // a parameter has other bits than before
    bool finite = true;  // all of them, now
  };
  // Moves the parameters from number `first` on along their mean gradient, `scale` times
  // `gradient`. Both spans are of one length.
  Moved Update(std::size_t first, std::span<float> parameters, std::span<const float> gradient,
               double scale);

 private:
  Options options_;
  std::vector<float> first_, second_;
  std::int64_t steps_ = 0;
  double rate_ = 0;  // of the step
};

}  // namespace cloister::trainer
