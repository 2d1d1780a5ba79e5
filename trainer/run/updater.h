#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "trainer/distributed/ranks.h"
#include "trainer/distributed/whole_state.h"
#include "trainer/optimisation/optimizer.h"
#include "trainer/optimisation/parameter_average.h"
#include "trainer/optimisation/schedule.h"
#include "trainer/recipe/recipe.h"
#include "trainer/run/private_side.h"

namespace cloister::trainer {

// Moves a run's parameters: optimizer, schedule and, where the recipe asks for it, the parameters'
// average, which the held-out losses and the output are then of. Not thread-safe.
//
// Of several ranks each has the optimizer's state and the average of its own shard of the
// parameters, takes its part of the gradient, moves its shard, and gets the others' (ZeRO,
// Rajbhandari et al. 2020, optimizer states and gradients). All have the same parameters before and
// after a step, to the bit those of one rank that is given the sum of their gradients, but for
// training.max_grad_norm, whose norm is added up of the shards'. With training.shard_parameters
// each keeps those of its shard alone (the third stage), and the gradient that it is given is the
// sum's, of its shard. Every function but moved() is called by all of them together, and fails as
// Ranks says.
class Updater {
 public:
  // For a run of so many steps; `values`, the model's parameters where they stand, and `ranks` must
  // outlive it.
  Updater(const Recipe& recipe, std::int64_t steps, std::span<float> values, Ranks& ranks);

  // Step number `step`, along `scale` times the sum over ranks of `gradient`, no longer than the
  // recipe's training.max_grad_norm, or along a private release, which the first rank has; null
  // elsewhere. kFailedPrecondition, on all, where a parameter is no longer a number.
  base::Status Step(std::int64_t step, std::span<const float> gradient, double scale);
  base::Status Step(std::int64_t step, const NoisedGradient* released);
  bool moved() const { return moved_; }  // whether any step changed a parameter

  using StateUser = std::function<base::Status(const StateArrays& whole)>;
  // Calls `use`, on the first rank alone, with all that a checkpoint keeps of the optimisation, the
  // parameters among it; its error is its rank's.
  base::Status WithState(const StateUser& use);
  // The other way: `fill`, on the first rank alone, writes what a checkpoint of step `step` has of
  // it, before which a parameter had `moved` or not; its error is all ranks'. kDataLoss where it
  // cannot be one's.
  base::Status Restore(std::int64_t step, bool moved, const StateUser& fill);
  // As Restore(), of the parameters that the output is made of alone. What `fill` leaves stays.
  base::Status RestoreKept(const StateUser& fill);

  // While it lives the model's parameters are their average, where there is one.
  class Averaged {
   public:
    explicit Averaged(Updater& updater) : updater_(updater), status_(updater_.Exchange()) {}
    // Where a rank is lost all that they do together from then on fails as this does.
    ~Averaged() { static_cast<void>(updater_.Exchange()); }
    Averaged(const Averaged&) = delete;
    Averaged& operator=(const Averaged&) = delete;
    const base::Status& status() const { return status_; }
    // The same, and the first rank has all of them, where each keeps its shard.
    base::Status OnFirst() { return status_ ? updater_.WholeOnFirst() : status_; }

   private:
    Updater& updater_;
    base::Status status_;
  };
  // The run is over: the model's parameters are from now on what is to be kept of them, and the
  // optimizer's memory is given back. No step may follow. The first rank has all of them.
  base::Status Finish();

 private:
  std::span<float> Own() { return values_.subspan(shard_.begin, shard_.size()); }
  std::span<std::byte> Parameters() {  // that this rank keeps
    return std::as_writable_bytes(sharded_ ? Own() : values_);
  }
  RankState State();
  RankState Kept();
  base::Status Exchange();
  base::Status WholeOnFirst();
  Optimizer::Moved AlongPieces(const NoisedGradient& gradient);
  base::Status End(Optimizer::Moved own);
  // Together: what is left of a plain step's gradient, of which `own` is this rank's part.
  base::Result<double> ShareOf(std::span<const float> own, double scale);

  Schedule schedule_;
  std::int64_t run_steps_;
  std::span<float> values_;
  Ranks& ranks_;
  std::optional<double> max_norm_;
  bool sharded_;  // whether only the shard of the values counts
  Range shard_;
  std::unique_ptr<Optimizer> optimizer_;     // of the shard
  std::optional<ParameterAverage> average_;  // of the shard
  std::vector<float> gradient_;              // of the shard, where there are several ranks
  std::int64_t kept_steps_ = 0;              // the optimizer's, for State()
  bool moved_ = false;
};

}  // namespace cloister::trainer
