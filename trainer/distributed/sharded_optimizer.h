#pragma once

#include <functional>
#include <optional>
#include <span>

#include "base/result.h"
#include "trainer/distributed/ranks.h"
#include "trainer/optimisation/adamw.h"

namespace cloister::trainer {

// The optimizer of a run of any number of ranks. Each rank has the moments of its own shard of the
// parameters, takes its part of the gradient, moves its shard, and gets the others' (ZeRO,
// Rajbhandari et al. 2020, optimizer states and gradients). All ranks have the same parameters
// before and after a step; a rank alone does what AdamW does, to the bit. Not thread-safe.
//
// Every function is called by all ranks together, and fails as Ranks says.
class ShardedOptimizer {
 public:
  // `ranks` must outlive it.
  ShardedOptimizer(const AdamW::Options& options, std::size_t parameters, Ranks& ranks);

  // A step along `scale` times the sum over ranks of `gradient`. `rate_share` as AdamW::Begin.
  base::Result<AdamW::Moved> StepAlongSum(double rate_share, std::span<float> parameters,
                                          std::span<const float> gradient, double scale);
  // A step along a gradient that the first rank has, and reads any range of.
  base::Result<AdamW::Moved> StepAlongFirst(double rate_share, std::span<float> parameters,
                                            const Ranks::Reader& gradient);

  // Calls `use`, on the first rank alone, with the moments of all parameters; its error is its
  // rank's.
  base::Status WithWhole(const std::function<base::Status(const AdamW& whole)>& use);
  // The other way: `fill` sets the moments of all parameters, on the first rank, and everybody gets
  // its shard of them. Its error is all ranks'.
  base::Status FillWhole(const std::function<base::Status(AdamW& whole)>& fill);

 private:
  base::Result<AdamW::Moved> Together(AdamW::Moved own, std::span<float> parameters);
  std::span<float> Shard(std::span<float> parameters) const {
    return parameters.subspan(shard_.begin, shard_.size());
  }

  AdamW::Options options_;
  std::size_t parameters_;
  Ranks& ranks_;
  Range shard_;
  AdamW own_;
  std::vector<float> gradient_;  // of the shard
};

}  // namespace cloister::trainer
