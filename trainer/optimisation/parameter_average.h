#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace cloister::trainer {

// The exponential moving average of the parameters, in fp32: 4 bytes a parameter. After step t of
// the optimizer it moves by 1 - min(decay, (1 + t) / (10 + t)) of the way to the parameters, so
// that the starting point does not outlast a short run (as De, Berrada, Hayes, Smith and Balle 2022
// for private training). Made of released parameters alone, it costs no privacy. Not thread-safe.
class ParameterAverage {
 public:
  // 0 <= decay < 1; `start`: the parameters before the first step.
  ParameterAverage(double decay, std::span<const float> start)
      : decay_(decay), values_(start.begin(), start.end()) {}

  // After the optimizer's step number `step`.
  void Add(std::span<const float> parameters, std::int64_t step);

  std::span<float> values() { return values_; }

 private:
  double decay_;
  std::vector<float> values_;
};

}  // namespace cloister::trainer
