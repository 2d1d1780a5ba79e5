#include "trainer/run/training_run.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/log.h"
#include "base/progress.h"
#include "trainer/data/sampling.h"
#include "trainer/distributed/same_inputs.h"
#include "trainer/distributed/sharded_optimizer.h"
#include "trainer/distributed/shared_loss.h"
#include "trainer/run/matrix_plan.h"
#include "trainer/run/output_folder.h"
#include "trainer/run/own_part.h"
#include "trainer/run/private_side.h"
#include "trainer/run/resume_point.h"
#include "trainer/run/run_checkpoints.h"
#include "trainer/run/run_data.h"
#include "trainer/run/run_model.h"

namespace cloister::trainer {
namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::ordered_json;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string Fixed(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

base::Result<PrivacyPlan> PlanPrivacy(const Recipe& recipe, const TrainableModel::Size& size) {
  if (recipe.privacy->matrix) return MakeMatrixPlan(recipe, size.parameters, size.layers);
  return MakePrivacyPlan(*recipe.privacy, recipe.training.steps, size.parameters, size.layers);
}

class TrainingRun {
 public:
  TrainingRun(const Recipe& recipe, const EventSink& sink, const RunOptions& options)
      : recipe_(recipe), sink_(sink), options_(options), probe_(options.probe) {}

  // On each rank; every function that says "together" is called by all of them at once.
  base::Status RunAndLeave() { return ranks_.Leave(Run()); }

 private:
  base::Status Run() {
    CLOISTER_RETURN_IF_ERROR(ranks_.Agree(Prepare()));
    CLOISTER_RETURN_IF_ERROR(Begin());
    base::Status worked = EvaluateIfDue();
    if (worked) worked = Steps();
    if (!worked && worked.error().code == base::Code::kCancelled) return Stopped();
    // What is done is kept, whatever stands in the way of more, but for parameters that are no
    // longer numbers.
    if (worked || worked.error().code != base::Code::kFailedPrecondition) KeepWhatIsDone();
    CLOISTER_RETURN_IF_ERROR(std::move(worked));
    if (!moved_) {
      if (lost_) {
        return base::Fail(base::Code::kFailedPrecondition,
                          "every step was debited and its result is lost: what was spent stays "
                          "spent, start anew with more frequent checkpoints");
      }
      return base::Fail(base::Code::kFailedPrecondition,
                        "the " + std::string(recipe_.lora ? "adapter" : "model") +
                            " ended as it began: no record has an answer within "
                            "data.max_tokens, raise it");
    }
    return ranks_.Agree(ranks_.first() ? Save(*output_) : base::Status());
  }

  // Everything that can fail for a reason of the recipe's, cheap things first.
  base::Status Prepare() {
    Recipe kept = recipe_;  // as far as this rank keeps anything
    if (ranks_.first()) {
      CLOISTER_ASSIGN_OR_RETURN(OutputFolder output,
                                OutputFolder::Create(recipe_.output, options_.resume.has_value()));
      output_.emplace(std::move(output));
    } else {
      kept.checkpoints.reset();
    }
    CLOISTER_ASSIGN_OR_RETURN(const RunModel named, RunModel::Open(recipe_));
    const std::int64_t parameters = named.size.parameters;
    std::optional<PrivacyPlan> plan;
    if (recipe_.privacy) {
      CLOISTER_ASSIGN_OR_RETURN(plan, PlanPrivacy(recipe_, named.size));
    }
    CLOISTER_ASSIGN_OR_RETURN(RunData data, RunData::Open(recipe_, *named.files));
    data_.emplace(std::move(data));
    CLOISTER_ASSIGN_OR_RETURN(
        RunCheckpoints checkpoints,
        RunCheckpoints::Begin(kept, ranks_.first() ? options_.resume : std::nullopt));
    checkpoints_.emplace(std::move(checkpoints));
    if (plan) {
      CLOISTER_ASSIGN_OR_RETURN(
          PrivateSide side,
          PrivateSide::Open(recipe_, *plan, data_->train.file(), *checkpoints_, ranks_));
      private_.emplace(std::move(side));
      if (probe_ != nullptr) CLOISTER_RETURN_IF_ERROR(probe_->Start(*plan, parameters));
    }
    steps_ = plan ? plan->steps : recipe_.training.steps;
    if (steps_ < recipe_.training.steps && ranks_.first()) {
      base::LogInfo("privacy.target_epsilon leaves " + std::to_string(steps_) +
                    " of the training.steps " + std::to_string(recipe_.training.steps) +
                    " at this privacy.noise_multiplier: the run ends after them");
    }
    optimizer_.emplace(recipe_.optimizer, static_cast<std::size_t>(parameters), ranks_);
    batches_.emplace(data_->train.size(), std::max<std::int64_t>(1, recipe_.training.batch_size),
                     recipe_.training.seed);
    const std::int64_t cores = std::thread::hardware_concurrency() / ranks_.local_size();
    SetThreads(recipe_.training.threads > 0 ? recipe_.training.threads
                                            : std::max<std::int64_t>(1, cores));
    CLOISTER_ASSIGN_OR_RETURN(model_, named.Load(recipe_));
    return {};
  }

  // Together: all ranks begin with what the first has.
  base::Status Begin() {
    CLOISTER_RETURN_IF_ERROR(CheckSameInputs(ranks_, recipe_));
    if (private_) CLOISTER_RETURN_IF_ERROR(private_->Begin());
    CLOISTER_ASSIGN_OR_RETURN(const bool resumed,
                              ranks_.Decide(checkpoints_->resumed() != nullptr));
    if (resumed) CLOISTER_RETURN_IF_ERROR(GoOn());
    return ranks_.Broadcast(std::as_writable_bytes(model_->values()));
  }

  // Together: from the checkpoint's step; a private run from its ledger's, which may be further on.
  base::Status GoOn() {
    CLOISTER_RETURN_IF_ERROR(optimizer_->FillWhole(
        [this](AdamW& whole) { return checkpoints_->Restore(model_->values(), whole); }));
    CLOISTER_ASSIGN_OR_RETURN(const ResumePoint from,
                              ShareResumePoint(ranks_, checkpoints_->resumed()));
    if (ranks_.first()) log_ = checkpoints_->resumed()->events;
    moved_ = from.moved;
    evaluated_ = from.evaluated;
    done_ = private_ ? private_->taken() : from.step;
    if (done_ > steps_) {
      return base::Fail(base::Code::kInvalidArgument,
                        "--resume: " + std::to_string(done_) +
                            " steps are done: raise training.steps above them");
    }
    for (std::int64_t step = 0; !private_ && step < done_; ++step) batches_->Next();
    if (ranks_.first()) base::LogInfo("goes on after step " + std::to_string(done_));
    if (done_ > from.step) {
      if (ranks_.first())
        base::LogWarning("steps " + std::to_string(from.step + 1) + " to " + std::to_string(done_) +
                         " were debited and their results are lost: they count as taken");
      Emit({{"event", "resumed"}, {"step", from.step}, {"lost", done_ - from.step}},
           ordered_json::object());
      lost_ = true;
    }
    return {};
  }

  // Together: the held-out loss that belongs to the state that the run is in, once.
  base::Status EvaluateIfDue() {
    const std::int64_t every = recipe_.training.eval_every;
    const bool due = done_ == 0 || done_ == steps_ || (every > 0 && done_ % every == 0);
    if (due && evaluated_ < done_) CLOISTER_RETURN_IF_ERROR(Evaluate());
    // A private run can be gone on with from its start: its first steps may be debited before its
    // next checkpoint.
    CLOISTER_ASSIGN_OR_RETURN(const bool first, ranks_.Decide(checkpoints_->active() && private_ &&
                                                              checkpoints_->last() < 0));
    return first ? ranks_.Agree(WriteCheckpoint()) : base::Status();
  }

  // Together. Says why not, and goes on: the steps that are in memory are worth more than the way
  // to disk. Nothing where a rank is lost, and with it its share of the optimizer.
  void KeepWhatIsDone() {
    const auto due = ranks_.Decide(checkpoints_->active() && done_ > checkpoints_->last());
    if (!due || !*due) return;
    if (const base::Status written = WriteCheckpoint(); !written) {
      base::LogWarning("no checkpoint of step " + std::to_string(done_) + ": " +
                       written.error().message);
    }
  }

  base::Status WriteCheckpoint() {  // together
    return optimizer_->WithWhole([this](const AdamW& whole) { return WriteCheckpoint(whole); });
  }

  base::Status WriteCheckpoint(const AdamW& optimizer) {
    RunCheckpoints::State state = {
        .step = done_, .moved = moved_, .events = log_, .evaluated = evaluated_};
    if (private_) {
      state.privacy = private_->state();
      CLOISTER_ASSIGN_OR_RETURN(state.key, private_->SealingKey());
      CLOISTER_ASSIGN_OR_RETURN(state.noise, private_->SealedNoise());
    }
    return checkpoints_->Write(std::move(state), model_->values(), optimizer);
  }

  base::Status Evaluate() {
    if (data_->held_out.empty()) return {};
    CLOISTER_ASSIGN_OR_RETURN(const double loss,
                              SharedLoss(ranks_, *model_, data_->held_out,
                                         recipe_.training.micro_batch_tokens, keep_going_));
    if (!std::isfinite(loss)) {
      return base::Fail(base::Code::kFailedPrecondition,
                        "the loss of " + recipe_.data.eval->string() +
                            " is not finite: lower optimizer.learning_rate");
    }
    evaluated_ = done_;
    Emit({{"event", "eval"}, {"loss", loss}}, ordered_json::object());
    return {};
  }

  base::Status Steps() {
    const double nominal_tokens = private_ ? private_->NominalTokens() : 0;
    std::optional<base::Progress> progress;
    if (ranks_.first()) {
      progress.emplace("training", static_cast<std::uint64_t>(steps_), "steps",
                       private_ ? base::Timing::kHidden : base::Timing::kShown);
    }
    for (std::int64_t step = done_ + 1; step <= steps_; ++step) {
      const Clock::time_point start = Clock::now();
      std::string detail;
      ordered_json event = {{"event", "step"}, {"step", step}};
      ordered_json rate = ordered_json::object();
      if (private_) {
        CLOISTER_ASSIGN_OR_RETURN(const double private_loss, PrivateStep(step));
        CLOISTER_ASSIGN_OR_RETURN(const double epsilon, private_->Epsilon());
        event["epsilon"] = epsilon;
        if (private_->spends_at_once()) event["neighbours"] = Relation();
        if (recipe_.privacy->adaptive) event["clip_norm"] = private_->clip_norm();
        rate["tokens_per_second"] = nominal_tokens / SecondsSince(start);
        detail = "ε " + Fixed(epsilon, 2);
        if (private_->spends_at_once()) detail += " (" + Relation() + ", of the whole run)";
        if (::isatty(STDERR_FILENO) == 1) {
          detail += ", loss " + Fixed(private_loss, 3) + " (not covered by ε)";
        }
      } else {
        CLOISTER_ASSIGN_OR_RETURN(const StepTotals done, PlainStep(step));
        rate["tokens_per_second"] = static_cast<double>(done.tokens) / SecondsSince(start);
        event["epsilon"] = nullptr;
        event["loss"] = done.loss;
        detail = "loss " + Fixed(done.loss, 3);
      }
      done_ = step;
      Emit(std::move(event), std::move(rate));
      if (progress) progress->Update(static_cast<std::uint64_t>(step), detail);
      if (progress && step == steps_) progress->Finish(detail);
      CLOISTER_RETURN_IF_ERROR(EvaluateIfDue());
      CLOISTER_ASSIGN_OR_RETURN(const bool due, ranks_.Decide(checkpoints_->Due(step)));
      if (due) KeepWhatIsDone();
    }
    return {};
  }

  base::Result<StepTotals> PlainStep(std::int64_t step) {  // together
    const std::vector<std::int64_t> records = batches_->Next();
    std::vector<Example> own;
    CLOISTER_ASSIGN_OR_RETURN(
        const TrainableModel::Plain plain,
        ranks_.Agreed(OwnGradient(ranks_.Deal(records), data_->train, *model_,
                                  recipe_.training.micro_batch_tokens, keep_going_, own)));
    CLOISTER_RETURN_IF_ERROR(
        Note(optimizer_->StepAlongSum(recipe_.schedule.ShareAt(step, steps_), model_->values(),
                                      plain.gradient, 1 / static_cast<double>(records.size()))));
    return TotalsOf(ranks_, own, plain.loss);
  }

  // Together. Returns this rank's training loss, which is not covered by ε.
  base::Result<double> PrivateStep(std::int64_t step) {
    CLOISTER_ASSIGN_OR_RETURN(
        TrainableModel::Clipped clipped,
        ranks_.Agreed(OwnSum(*private_, data_->train, *model_, probe_, keep_going_)));
    CLOISTER_ASSIGN_OR_RETURN(PrivateSide::Released released,
                              private_->Release(std::move(clipped.sum), step));
    const std::optional<NoisedGradient>& gradient = released.gradient;
    if (probe_ != nullptr && gradient) {
      std::vector<double> whole(static_cast<std::size_t>(gradient->parameters()));
      gradient->Read(0, whole);
      probe_->Released(whole);
    }
    CLOISTER_RETURN_IF_ERROR(
        Note(optimizer_->StepAlongFirst(recipe_.schedule.ShareAt(step, steps_), model_->values(),
                                        [&](std::size_t begin, std::span<float> values) {
                                          gradient->Read(static_cast<std::int64_t>(begin), values);
                                        })));
    model_->Reuse(std::move(released).TakeMemory());
    return clipped.private_loss;
  }

  base::Status Note(base::Result<AdamW::Moved> moved) {
    CLOISTER_RETURN_IF_ERROR(moved);
    moved_ = moved_ || moved->any;
    if (moved->finite) return {};
    return base::Fail(base::Code::kFailedPrecondition,
                      "a parameter is not finite after a step: lower optimizer.learning_rate");
  }

  // `shown_only` goes to the sink but not to the output folder where a run is private: times depend
  // on the records that were drawn.
  void Emit(ordered_json event, ordered_json shown_only) {
    ordered_json kept = event;
    event.update(shown_only);
    if (!private_) kept = event;
    log_ += kept.dump() + "\n";
    if (ranks_.first()) sink_(event);
  }

  base::Status Stopped() {
    const std::string steps = std::to_string(done_);
    KeepWhatIsDone();
    if (checkpoints_->active()) {
      return base::Fail(base::Code::kCancelled, "stopped by a signal after step " + steps +
                                                    ": go on with it by --resume " +
                                                    checkpoints_->path().string());
    }
    if (!ranks_.first()) return base::Fail(base::Code::kCancelled, "stopped after step " + steps);
    std::string spent = private_ ? ", " + steps + " steps stay debited" : "";
    if (private_ && private_->spends_at_once() && done_ > 0)
      spent = ", the whole run stays debited";
    return base::Fail(base::Code::kCancelled,
                      "stopped by a signal after step " + steps + ": nothing was written" + spent);
  }

  // What the printed ε is about.
  std::string Relation() const {
    return std::string(dp::NeighboursName(recipe_.privacy->neighbours));
  }

  base::Status Save(OutputFolder& output) {
    ordered_json done = {{"event", "done"}, {"epsilon", nullptr}, {"delta", nullptr}};
    Recipe resolved = recipe_;
    if (private_) {
      CLOISTER_ASSIGN_OR_RETURN(const double epsilon, private_->Epsilon());
      done["epsilon"] = epsilon;
      done["delta"] = recipe_.privacy->delta;
      done["neighbours"] = Relation();
      if (recipe_.privacy->allow_large_delta) done["large_delta_allowed"] = true;
      resolved.privacy->noise_multiplier = private_->plan().noise_multiplier;
      resolved.training.steps = steps_;
    }
    done["steps"] = steps_;
    done["planned_steps"] = recipe_.training.steps;
    done["output"] = recipe_.output.string();
    optimizer_.reset();  // its moments are as large as two models
    CLOISTER_RETURN_IF_ERROR(model_->Save(output.path(), recipe_.model));
    std::string yaml = ToYaml(resolved);
    if (steps_ < recipe_.training.steps) {
      yaml += "# planned_steps: " + std::to_string(recipe_.training.steps) +
              " (privacy.target_epsilon cut training.steps)\n";
    }
    CLOISTER_RETURN_IF_ERROR(base::WriteFile(output.path() / "recipe.yaml", yaml));
    CLOISTER_RETURN_IF_ERROR(
        base::WriteFile(output.path() / "events.jsonl", log_ + done.dump() + "\n"));
    CLOISTER_RETURN_IF_ERROR(output.Commit());
    checkpoints_->RemoveNoise();
    sink_(done);
    return {};
  }

  const Recipe& recipe_;
  const EventSink& sink_;
  const RunOptions& options_;
  RunProbe* probe_;
  const std::unique_ptr<Ranks> alone_ = OneRank();
  Ranks& ranks_ = options_.ranks == nullptr ? *alone_ : *options_.ranks;
  const TrainableModel::Progress keep_going_ = [this](std::int64_t) {
    if (options_.stop && options_.stop()) ranks_.RequestStop();
    return ranks_.GoOn();
  };
  std::optional<OutputFolder> output_;  // of the first rank
  std::optional<RunData> data_;
  std::unique_ptr<TrainableModel> model_;
  std::optional<ShardedOptimizer> optimizer_;
  std::optional<ShuffledBatches> batches_;
  std::optional<RunCheckpoints> checkpoints_;
  std::optional<PrivateSide> private_;  // holds on to checkpoints_
  std::int64_t steps_ = 0;
  std::int64_t done_ = 0;        // steps that were taken
  bool moved_ = false;           // whether a step changed a parameter
  bool lost_ = false;            // whether steps were debited and their results lost
  std::int64_t evaluated_ = -1;  // the step of the last held-out loss
  std::string log_;
};

}  // namespace

base::Status RunTraining(const Recipe& recipe, const EventSink& sink, const RunOptions& options) {
  return TrainingRun(recipe, sink, options).RunAndLeave();
}

}  // namespace cloister::trainer
