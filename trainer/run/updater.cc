#include "trainer/run/updater.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/check.h"

namespace cloister::trainer {
namespace {

// Values of a release at a time.
constexpr std::size_t kPiece = std::size_t{1} << 20;
static_assert(kPiece % Optimizer::kPieceUnit == 0);

}  // namespace

Updater::Updater(const Recipe& recipe, std::int64_t steps, std::span<float> values)
    : schedule_(recipe.schedule),
      run_steps_(steps),
      values_(values),
      optimizer_(Optimizer::Make(recipe.optimizer, values.size())) {
  if (recipe.training.ema_decay) average_.emplace(*recipe.training.ema_decay, values);
}

base::Status Updater::Step(std::int64_t step, std::span<const float> gradient, double scale) {
  CLOISTER_CHECK(gradient.size() == values_.size());
  optimizer_->Begin(schedule_.ShareAt(step, run_steps_));
  CLOISTER_RETURN_IF_ERROR(Apply(0, gradient, scale));
  End();
  return {};
}

base::Status Updater::Step(std::int64_t step, const NoisedGradient& gradient) {
  const auto size = static_cast<std::size_t>(gradient.parameters());
  CLOISTER_CHECK(size == values_.size());
  optimizer_->Begin(schedule_.ShareAt(step, run_steps_), gradient.noise_variance());
  std::vector<float> piece;
  for (std::size_t first = 0; first < size; first += kPiece) {
    piece.resize(std::min(kPiece, size - first));
    gradient.Read(static_cast<std::int64_t>(first), piece);
    CLOISTER_RETURN_IF_ERROR(Apply(first, piece, 1));
  }
  End();
  return {};
}

base::Status Updater::Apply(std::size_t first, std::span<const float> gradient, double scale) {
  const Optimizer::Moved moved =
      optimizer_->Update(first, values_.subspan(first, gradient.size()), gradient, scale);
  moved_ = moved_ || moved.any;
  if (moved.finite) return {};
  return base::Fail(base::Code::kFailedPrecondition,
                    "a parameter is not finite after a step: lower optimizer.learning_rate");
}

void Updater::End() {
  if (average_) average_->Add(values_, optimizer_->steps());
}

StateArrays Updater::State() {
  StateArrays state = optimizer_->State();
  kept_steps_ = optimizer_->steps();
  state["optimizer_steps"] = std::as_writable_bytes(std::span(&kept_steps_, 1));
  state["parameters"] = std::as_writable_bytes(values_);
  if (average_) state["parameter_average"] = std::as_writable_bytes(average_->values());
  return state;
}

StateArrays Updater::Kept() {
  if (average_) return {{"parameter_average", std::as_writable_bytes(average_->values())}};
  return {{"parameters", std::as_writable_bytes(values_)}};
}

base::Status Updater::Restored(std::int64_t step, bool moved) {
  if (kept_steps_ < 0 || kept_steps_ > step) {
    return base::Fail(base::Code::kDataLoss, "checkpoint: its optimizer took " +
                                                 std::to_string(kept_steps_) + " steps of " +
                                                 std::to_string(step));
  }
  optimizer_->SetSteps(kept_steps_);
  moved_ = moved;
  return {};
}

void Updater::Exchange() {
  if (average_) std::swap_ranges(values_.begin(), values_.end(), average_->values().begin());
}

void Updater::Finish() {
  optimizer_.reset();  // its moments may be as large as two models
  Exchange();
  average_.reset();
}

}  // namespace cloister::trainer
