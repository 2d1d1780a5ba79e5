#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace cloister::trainer {

// AdamW (Loshchilov and Hutter 2019) over one flat vector, moments in fp64. Not thread-safe.
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

  // One step along the mean gradient. Both spans have `parameters` elements.
  void Step(std::span<float> parameters, std::span<const double> gradient);

 private:
  Options options_;
  std::vector<double> first_, second_;
  std::int64_t steps_ = 0;
};

}  // namespace cloister::trainer
