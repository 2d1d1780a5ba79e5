#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"

namespace cloister::federation::aggregation {

// What the coordinator makes of an unmasked sum: post-processing of noised values, so it costs no
// privacy. Divisors are public nominal figures, never counts of what was drawn or who was there.

// sum[i] * spacing / nominal_units: the noised mean gradient. kInvalidArgument unless spacing and
// nominal_units are finite and positive.
base::Result<std::vector<double>> MeanGradient(std::span<const std::int64_t> sum, double spacing,
                                               double nominal_units);

struct AdamWOptions {
  double learning_rate = 0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
};

// FedSGD with AdamW (Loshchilov and Hutter 2019, Algorithm 2) over one flat vector, moments in
// fp64. Not thread-safe.
class FedSgd {
 public:
  // kInvalidArgument naming the option that is not finite or out of range.
  static base::Result<FedSgd> Create(const AdamWOptions& options, std::size_t size);

  // The parameters after one step. kInvalidArgument for a wrong size; kOutOfRange, naming the
  // coordinate and leaving the state as it was, when a gradient or a new parameter is not finite.
  base::Result<std::vector<float>> Step(std::span<const float> parameters,
                                        std::span<const double> gradient);

  std::uint64_t steps() const { return steps_; }

  // The state without the options: canonical, little-endian. Deserialize: kDataLoss for anything
  // that Serialize could not have written for this size.
  std::vector<std::uint8_t> Serialize() const;
  static base::Result<FedSgd> Deserialize(const AdamWOptions& options, std::size_t size,
                                          std::span<const std::uint8_t> bytes);

 private:
  FedSgd(const AdamWOptions& options, std::size_t size)
      : options_(options), first_moment_(size), second_moment_(size) {}

  AdamWOptions options_;
  std::uint64_t steps_ = 0;
  std::vector<double> first_moment_;
  std::vector<double> second_moment_;
};

}  // namespace cloister::federation::aggregation
