#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "base/result.h"
#include "trainer/optimisation/optimizer.h"
#include "trainer/optimisation/parameter_average.h"
#include "trainer/optimisation/schedule.h"
#include "trainer/recipe/recipe.h"
#include "trainer/run/private_side.h"

namespace cloister::trainer {

// Moves a run's parameters: optimizer, schedule and, where the recipe asks for it, the parameters'
// average, which the held-out losses and the output are then of. Not thread-safe.
class Updater {
 public:
  // For a run of so many steps; `values`, the model's parameters where they stand, must outlive it.
  Updater(const Recipe& recipe, std::int64_t steps, std::span<float> values);

  // Step number `step`, along `scale` times `gradient`, or along a private release.
  // kFailedPrecondition where a parameter is no longer a number.
  base::Status Step(std::int64_t step, std::span<const float> gradient, double scale);
  base::Status Step(std::int64_t step, const NoisedGradient& gradient);
  bool moved() const { return moved_; }  // whether any step changed a parameter

  // All that a checkpoint keeps of the optimisation, the parameters among it, where it stands.
  StateArrays State();
  // Of it the parameters that the output is made of.
  StateArrays Kept();
  // After State() was written from a checkpoint of step `step`, before which a parameter had
  // `moved` or not. kDataLoss where it cannot be one's.
  base::Status Restored(std::int64_t step, bool moved);

  // While it lives the model's parameters are their average, where there is one.
  class Averaged {
   public:
    explicit Averaged(Updater& updater) : updater_(updater) { updater_.Exchange(); }
    ~Averaged() { updater_.Exchange(); }
    Averaged(const Averaged&) = delete;
    Averaged& operator=(const Averaged&) = delete;

   private:
    Updater& updater_;
  };
  // The run is over: the model's parameters are from now on what is to be kept of them, and the
  // optimizer's memory is given back. No step may follow.
  void Finish();

 private:
  void Exchange();
  base::Status Apply(std::size_t first, std::span<const float> gradient, double scale);
  void End();

  Schedule schedule_;
  std::int64_t run_steps_;
  std::span<float> values_;
  std::unique_ptr<Optimizer> optimizer_;
  std::optional<ParameterAverage> average_;
  std::int64_t kept_steps_ = 0;  // the optimizer's, for State()
  bool moved_ = false;
};

}  // namespace cloister::trainer
