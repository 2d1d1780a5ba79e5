#include "trainer/run/updater.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <string>

#include "base/check.h"
#include "trainer/run/run_model.h"

namespace cloister::trainer {
namespace {

// Values of a release at a time.
constexpr std::size_t kPiece = std::size_t{1} << 20;
static_assert(kPiece % Optimizer::kPieceUnit == 0);
static_assert(Ranks::kShardUnit % Optimizer::kPieceUnit == 0);

}  // namespace

Updater::Updater(const Recipe& recipe, std::int64_t steps, std::span<float> values, Ranks& ranks)
    : schedule_(recipe.schedule),
      run_steps_(steps),
      values_(values),
      ranks_(ranks),
      max_norm_(recipe.training.max_grad_norm),
      sharded_(ShardsParameters(recipe, ranks)),
      shard_(ranks.Shard(values.size())),
      optimizer_(Optimizer::Make(recipe.optimizer, shard_.size())) {
  if (recipe.training.ema_decay) average_.emplace(*recipe.training.ema_decay, Own());
}

base::Status Updater::Step(std::int64_t step, std::span<const float> gradient, double scale) {
  CLOISTER_CHECK(gradient.size() == (sharded_ ? shard_.size() : values_.size()));
  optimizer_->Begin(schedule_.ShareAt(step, run_steps_));
  std::span<const float> own = gradient;
  if (ranks_.size() > 1 && !sharded_) {
    gradient_.resize(shard_.size());
    CLOISTER_RETURN_IF_ERROR(ranks_.SumShards(gradient, gradient_));
    own = gradient_;
  }
  CLOISTER_ASSIGN_OR_RETURN(const double share, ShareOf(own, scale));
  return End(optimizer_->Update(0, Own(), own, scale * share));
}

base::Result<double> Updater::ShareOf(std::span<const float> own, double scale) {
  if (!max_norm_) return 1;
  double squared = std::inner_product(own.begin(), own.end(), own.begin(), 0.0, std::plus<>(),
                                      [](double a, double b) { return a * b; });
  CLOISTER_RETURN_IF_ERROR(ranks_.Sum(std::span(&squared, 1)));
  const double norm = scale * std::sqrt(squared);
  return norm > *max_norm_ ? *max_norm_ / norm : 1;
}

base::Status Updater::Step(std::int64_t step, const NoisedGradient* released) {
  CLOISTER_CHECK((released != nullptr) == ranks_.first());
  double variance = 0;
  if (released != nullptr) {
    CLOISTER_CHECK(static_cast<std::size_t>(released->parameters()) == values_.size());
    variance = released->noise_variance();
  }
  CLOISTER_RETURN_IF_ERROR(ranks_.Broadcast(std::as_writable_bytes(std::span(&variance, 1))));
  optimizer_->Begin(schedule_.ShareAt(step, run_steps_), variance);
  if (ranks_.size() == 1) return End(AlongPieces(*released));
  gradient_.resize(shard_.size());
  const auto read = [released](std::size_t begin, std::span<float> values) {
    released->Read(static_cast<std::int64_t>(begin), values);
  };
  CLOISTER_RETURN_IF_ERROR(ranks_.ScatterShards(values_.size(), read, gradient_));
  return End(optimizer_->Update(0, Own(), gradient_, 1));
}

Optimizer::Moved Updater::AlongPieces(const NoisedGradient& gradient) {
  Optimizer::Moved moved;
  std::vector<float> piece;
  for (std::size_t first = 0; first < values_.size(); first += kPiece) {
    piece.resize(std::min(kPiece, values_.size() - first));
    gradient.Read(static_cast<std::int64_t>(first), piece);
    const Optimizer::Moved here =
        optimizer_->Update(first, values_.subspan(first, piece.size()), piece, 1);
    moved = {moved.any || here.any, moved.finite && here.finite};
  }
  return moved;
}

base::Status Updater::End(Optimizer::Moved own) {
  if (!sharded_) CLOISTER_RETURN_IF_ERROR(ranks_.GatherShards(values_));
  const std::int64_t bits = (own.any ? 1 : 0) + (own.finite ? 0 : 2);
  CLOISTER_ASSIGN_OR_RETURN(const auto all, ranks_.GatherAll(std::span(&bits, 1)));
  bool finite = true;
  for (const std::int64_t one : all) {
    moved_ = moved_ || (one & 1) != 0;
    finite = finite && (one & 2) == 0;
  }
  if (!finite) {
    return base::Fail(base::Code::kFailedPrecondition,
                      "a parameter is not finite after a step: lower optimizer.learning_rate");
  }
  if (average_) average_->Add(Own(), optimizer_->steps());
  return {};
}

RankState Updater::State() {
  RankState state = Kept();
  state.parts.merge(optimizer_->State());
  // One number for all parameters.
  if (auto noise = state.parts.extract(Optimizer::kNoiseVariance)) {
    state.shared.insert(std::move(noise));
  }
  kept_steps_ = optimizer_->steps();
  state.shared["optimizer_steps"] = std::as_writable_bytes(std::span(&kept_steps_, 1));
  (sharded_ ? state.parts : state.shared)["parameters"] = Parameters();
  return state;
}

RankState Updater::Kept() {
  if (average_) {
    return {.parts = {{"parameter_average", std::as_writable_bytes(average_->values())}},
            .shared = {}};
  }
  RankState state;
  (sharded_ ? state.parts : state.shared)["parameters"] = Parameters();
  return state;
}

base::Status Updater::WithState(const StateUser& use) { return WithWhole(ranks_, State(), use); }

base::Status Updater::Restore(std::int64_t step, bool moved, const StateUser& fill) {
  CLOISTER_RETURN_IF_ERROR(ChangeWhole(ranks_, State(), fill));
  if (kept_steps_ < 0 || kept_steps_ > step) {
    return base::Fail(base::Code::kDataLoss, "checkpoint: its optimizer took " +
                                                 std::to_string(kept_steps_) + " steps of " +
                                                 std::to_string(step));
  }
  optimizer_->SetSteps(kept_steps_);
  moved_ = moved;
  return {};
}

base::Status Updater::RestoreKept(const StateUser& fill) {
  return ChangeWhole(ranks_, Kept(), fill);
}

base::Status Updater::Exchange() {
  if (!average_) return {};
  const std::span<float> own = Own();
  std::swap_ranges(own.begin(), own.end(), average_->values().begin());
  return sharded_ ? base::Status() : ranks_.GatherShards(values_);
}

base::Status Updater::WholeOnFirst() {
  if (!sharded_) return {};
  return ranks_.GatherOnFirst(std::as_bytes(Own()), ranks_.first() ? std::as_writable_bytes(values_)
                                                                   : std::span<std::byte>());
}

base::Status Updater::Finish() {
  optimizer_.reset();  // its moments may be as large as two models
  gradient_ = {};
  CLOISTER_RETURN_IF_ERROR(Exchange());
  average_.reset();
  return WholeOnFirst();
}

}  // namespace cloister::trainer
