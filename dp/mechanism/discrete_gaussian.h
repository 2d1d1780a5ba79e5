#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"
#include "security/random.h"

namespace cloister::dp {

// The discrete Gaussian: P(n) proportional to exp(-n^2 / (2 variance)) on the integers, for counts
// and other small sums whose values are integers themselves. Canonne, Kamath, Steinke, "The
// Discrete Gaussian for Differential Privacy" (2020), algorithms 1 to 3. Every decision compares
// whole numbers, the variance being a ratio of such: given a stream of true random bits the
// distribution is exact, nothing is added to delta. A query of L2 sensitivity D is D^2 / (2
// variance)-zCDP, as with the continuous Gaussian (their theorem 4). Some microseconds a sample, in
// a time that depends on the sample. Not thread-safe.
class DiscreteGaussianSampler {
 public:
  // variance = numerator / denominator: 1 <= denominator, numerator <= 2^40, else kInvalidArgument.
  // `random` must not serve anything else from here on.
  static base::Result<DiscreteGaussianSampler> Create(std::uint64_t variance_numerator,
                                                      std::uint64_t variance_denominator,
                                                      security::AesCtrStream random);

  std::int64_t Next();
  void Fill(std::span<std::int64_t> samples);

 private:
  DiscreteGaussianSampler(std::uint64_t numerator, std::uint64_t denominator,
                          security::AesCtrStream random);
  std::int64_t NextLaplace();

  std::uint64_t numerator_;
  std::uint64_t denominator_;
  std::uint64_t scale_;  // floor(standard deviation) + 1: of the Laplace law that is thinned
  security::AesCtrStream random_;
};

}  // namespace cloister::dp
