#include "trainer/run/training_run.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "trainer/data/sampling.h"
#include "trainer/distributed/same_inputs.h"
#include "trainer/distributed/shared_loss.h"
#include "trainer/evaluation/evaluation.h"
#include "trainer/report/event_log.h"
#include "trainer/report/run_history.h"
#include "trainer/report/run_report.h"
#include "trainer/report/step_report.h"
#include "trainer/run/matrix_plan.h"
#include "trainer/run/output_folder.h"
#include "trainer/run/own_part.h"
#include "trainer/run/private_side.h"
#include "trainer/run/resolve_targets.h"
#include "trainer/run/resume_point.h"
#include "trainer/run/run_checkpoints.h"
#include "trainer/run/run_data.h"
#include "trainer/run/run_model.h"
#include "trainer/run/updater.h"

namespace cloister::trainer {
namespace {

using nlohmann::ordered_json;

class TrainingRun {
 public:
  TrainingRun(const Recipe& recipe, const EventSink& sink, const RunOptions& options)
      : recipe_(recipe),
        options_(options),
        probe_(options.probe),
        sink_(ranks_.first() ? sink : [](const ordered_json&) {}),
        log_(recipe.privacy.has_value(), sink_) {
    CLOISTER_CHECK(probe_ == nullptr || ranks_.size() == 1);
  }

  // On each rank; every function that says "together" is called by all of them at once.
  base::Status RunAndLeave() { return ranks_.Leave(Run()); }

 private:
  base::Status Run() {
    CLOISTER_RETURN_IF_ERROR(ranks_.Agree(Prepare()));
    CLOISTER_RETURN_IF_ERROR(Begin());
    base::Status worked = done_ == 0 ? Judge() : base::Status();
    if (worked) worked = EvaluateIfDue();
    if (worked) worked = Steps();
    if (worked) worked = TakeBest();
    if (worked) worked = Judge();
    if (!worked && worked.error().code == base::Code::kCancelled) return Stopped();
    // What is done is kept, whatever stands in the way of more, but for parameters that are no
    // longer numbers.
    if (worked || worked.error().code != base::Code::kFailedPrecondition) KeepWhatIsDone(true);
    CLOISTER_RETURN_IF_ERROR(std::move(worked));
    if (!updater_->moved()) {
      if (lost_) {
        return base::Fail(base::Code::kFailedPrecondition,
                          "every step was debited and its result is lost: what was spent stays "
                          "spent, start anew with more frequent checkpoints");
      }
      return base::Fail(base::Code::kFailedPrecondition,
                        "the " + std::string(recipe_.lora ? "adapter" : "model") +
                            " ended as it began: no record that was drawn has an answer within "
                            "data.max_tokens, or optimizer.learning_rate is too low: raise it");
    }
    CLOISTER_RETURN_IF_ERROR(updater_->Finish());
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
    std::optional<PrivacyPlan> plan;
    if (recipe_.privacy) {
      CLOISTER_ASSIGN_OR_RETURN(plan,
                                PlanPrivacy(recipe_, named.size.parameters, named.size.layers));
    }
    steps_ = plan ? plan->steps : recipe_.training.steps;
    CLOISTER_ASSIGN_OR_RETURN(data_, RunData::Open(recipe_, *named.files));
    CLOISTER_ASSIGN_OR_RETURN(evaluation_,
                              Evaluation::Open(recipe_, *named.files, data_->train.file()));
    CLOISTER_ASSIGN_OR_RETURN(
        RunCheckpoints checkpoints,
        RunCheckpoints::Begin(kept, ranks_.first() ? options_.resume : std::nullopt));
    checkpoints_.emplace(std::move(checkpoints));
    if (output_ && options_.resume) output_->RemoveAbandoned();  // the checkpoints are locked
    if (output_) CLOISTER_RETURN_IF_ERROR(output_->Reserve(named.OutputBytes(steps_)));
    if (plan) {
      CLOISTER_ASSIGN_OR_RETURN(
          PrivateSide side,
          PrivateSide::Open(recipe_, *plan, data_->train.file(), *checkpoints_, ranks_));
      private_.emplace(std::move(side));
      if (probe_) CLOISTER_RETURN_IF_ERROR(probe_->Start(*plan, named.size.parameters));
    }
    if (steps_ < recipe_.training.steps && ranks_.first()) {
      base::LogInfo("privacy.target_epsilon leaves " + std::to_string(steps_) +
                    " of the training.steps " + std::to_string(recipe_.training.steps) +
                    " at this privacy.noise_multiplier: the run ends after them");
    }
    batches_.emplace(data_->train.size(), std::max<std::int64_t>(1, recipe_.training.batch_size),
                     recipe_.training.seed);
    UseThreads(recipe_, ranks_);
    CLOISTER_ASSIGN_OR_RETURN(model_, named.Load(recipe_, &ranks_));
    return {};
  }

  // Together: all ranks begin with what the first has.
  base::Status Begin() {
    CLOISTER_RETURN_IF_ERROR(CheckSameInputs(ranks_, recipe_, checkpoints_->digests()));
    if (private_) CLOISTER_RETURN_IF_ERROR(private_->Begin());
    CLOISTER_RETURN_IF_ERROR(BeginAlike(recipe_, ranks_, *model_));
    updater_.emplace(recipe_, steps_, model_->values(), ranks_);
    CLOISTER_ASSIGN_OR_RETURN(const bool resumed,
                              ranks_.Decide(checkpoints_->resumed() != nullptr));
    return resumed ? GoOn() : base::Status();
  }

  // Together: where the checkpoint stands; a private run where its ledger does, which may be
  // further on.
  base::Status GoOn() {
    CLOISTER_ASSIGN_OR_RETURN(const ResumePoint from,
                              ShareResumePoint(ranks_, checkpoints_->resumed()));
    CLOISTER_RETURN_IF_ERROR(updater_->Restore(
        from.step, from.moved,
        [this](const StateArrays& whole) { return checkpoints_->Restore(whole); }));
    if (ranks_.first()) log_.Restore(checkpoints_->resumed()->events);
    evaluated_ = from.evaluated;
    done_ = private_ ? private_->taken() : from.step;
    if (done_ > steps_) {
      return base::Fail(base::Code::kInvalidArgument,
                        "--resume: " + std::to_string(done_) + " steps are done, of " +
                            std::to_string(steps_) + " planned: there is nothing to go on with");
    }
    if (ranks_.first()) base::LogInfo("goes on after step " + std::to_string(done_));
    if (done_ > from.step) {
      if (ranks_.first()) {
        base::LogWarning("steps " + std::to_string(from.step + 1) + " to " + std::to_string(done_) +
                         " were debited and their results are lost: they count as taken");
      }
      log_.Emit({{"event", "resumed"}, {"step", from.step}, {"lost", done_ - from.step}});
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
                                                              checkpoints_->newest() < 0));
    if (first) {
      base::Status written = WriteCheckpoint();
      if (written) written = checkpoints_->Finish();
      return ranks_.Agree(std::move(written));
    }
    CLOISTER_ASSIGN_OR_RETURN(const bool keep, ranks_.Decide(checkpoints_->Due(done_)));
    if (keep) KeepWhatIsDone(false);
    return {};
  }

  // Together. Says why not, and goes on: the steps that are in memory are worth more than the way
  // to disk. At the end of the run it waits for what is being written. Nothing more is written
  // where a rank is lost, and with it its share of the optimizer.
  void KeepWhatIsDone(bool at_end) {
    base::Status kept = at_end ? checkpoints_->Finish() : base::Status();
    const auto due =
        ranks_.Decide(checkpoints_->active() && !best_step_ && done_ > checkpoints_->newest());
    if (due && *due) kept = WriteCheckpoint();
    if (kept && at_end) kept = checkpoints_->Finish();
    if (!kept) {
      base::LogWarning("no checkpoint of step " + std::to_string(done_) + ": " +
                       kept.error().message);
    }
  }

  base::Status WriteCheckpoint() {  // together
    return updater_->WithState([this](const StateArrays& whole) { return WriteCheckpoint(whole); });
  }

  base::Status WriteCheckpoint(const StateArrays& whole) {
    RunCheckpoints::State state = {
        .step = done_, .moved = updater_->moved(), .events = log_.text(), .evaluated = evaluated_};
    if (private_) {
      state.privacy = private_->state();
      CLOISTER_ASSIGN_OR_RETURN(state.key, private_->SealingKey());
      CLOISTER_ASSIGN_OR_RETURN(state.noise, private_->SealedNoise());
    }
    return checkpoints_->Write(std::move(state), whole);
  }

  base::Status Evaluate() {  // together
    if (data_->held_out.empty()) return {};
    const Updater::Averaged averaged(*updater_);
    CLOISTER_RETURN_IF_ERROR(averaged.status());
    CLOISTER_ASSIGN_OR_RETURN(const double loss,
                              SharedLoss(ranks_, *model_, data_->held_out,
                                         recipe_.training.micro_batch_tokens, keep_going_));
    if (!std::isfinite(loss)) {
      return base::Fail(base::Code::kFailedPrecondition,
                        "the loss of " + recipe_.data.eval->string() +
                            " is not finite: lower optimizer.learning_rate");
    }
    evaluated_ = done_;
    checkpoints_->Evaluated(done_, loss);
    log_.Emit({{"event", "eval"}, {"loss", loss}});
    return {};
  }

  // Together: what the recipe's `evaluation` says of the model as it begins and as it ends. The
  // first rank asks.
  base::Status Judge() {
    CLOISTER_ASSIGN_OR_RETURN(const bool due,
                              ranks_.Decide(evaluation_ && !WasJudgedAt(log_.text(), done_)));
    if (!due) return {};
    Updater::Averaged averaged(*updater_);
    CLOISTER_RETURN_IF_ERROR(averaged.OnFirst());
    base::Result<ordered_json> judged = ordered_json();
    if (ranks_.first()) judged = evaluation_->Run(*model_, keep_going_);
    CLOISTER_ASSIGN_OR_RETURN(const ordered_json figures, ranks_.Agreed(std::move(judged)));
    if (ranks_.first()) log_.Emit(JudgedEvent(done_, figures));
    return {};
  }

  base::Status Steps() {  // together
    std::optional<StepReport> told;
    if (ranks_.first()) told.emplace(recipe_, log_, done_, steps_);
    for (std::int64_t step = done_ + 1; step <= steps_; ++step) {
      model_->BeginStep(recipe_.lora_seed, step);
      if (told) told->Begin();
      if (private_) {
        CLOISTER_ASSIGN_OR_RETURN(const double private_loss, PrivateStep(step));
        CLOISTER_ASSIGN_OR_RETURN(const double epsilon, private_->Epsilon());
        done_ = step;
        if (told) {
          told->EndPrivate(step, {.epsilon = epsilon,
                                  .of_whole_run = private_->spends_at_once(),
                                  .clip_norm = private_->clip_norm(),
                                  .nominal_tokens = private_->NominalTokens(),
                                  .uncovered_loss = private_loss});
        }
      } else {
        CLOISTER_ASSIGN_OR_RETURN(const StepTotals done, PlainStep(step));
        done_ = step;
        if (told) told->EndPlain(step, done);
      }
      CLOISTER_RETURN_IF_ERROR(EvaluateIfDue());
    }
    return {};
  }

  base::Result<StepTotals> PlainStep(std::int64_t step) {  // together
    std::vector<Example> own;
    CLOISTER_ASSIGN_OR_RETURN(
        const TrainableModel::Plain plain,
        ranks_.Agreed(OwnGradient(ranks_, batches_->Batch(step - 1), data_->train, *model_,
                                  recipe_.training, keep_going_, own)));
    CLOISTER_ASSIGN_OR_RETURN(const StepTotals totals,
                              TotalsOf(ranks_, own, recipe_.training.loss_mean, plain));
    CLOISTER_RETURN_IF_ERROR(updater_->Step(step, plain.gradient, 1 / std::max(1.0, totals.count)));
    return totals;
  }

  // Together. Returns this rank's training loss, which is not covered by ε.
  base::Result<double> PrivateStep(std::int64_t step) {
    CLOISTER_ASSIGN_OR_RETURN(
        TrainableModel::Clipped clipped,
        ranks_.Agreed(OwnSum(ranks_, *private_, data_->train, *model_, probe_, keep_going_)));
    CLOISTER_ASSIGN_OR_RETURN(PrivateSide::Released released,
                              private_->Release(std::move(clipped.sum), step));
    const NoisedGradient* const gradient = released.gradient ? &*released.gradient : nullptr;
    ShowRelease(probe_, gradient);
    CLOISTER_RETURN_IF_ERROR(updater_->Step(step, gradient));
    model_->Reuse(std::move(released).TakeMemory());
    return clipped.private_loss;
  }

  base::Status Stopped() {
    const std::string steps = std::to_string(done_);
    KeepWhatIsDone(true);
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

  base::Status Save(OutputFolder& output) {
    ordered_json done = {{"event", "done"}, {"epsilon", nullptr}, {"delta", nullptr}};
    Recipe resolved = recipe_;
    if (private_) {
      CLOISTER_ASSIGN_OR_RETURN(const double epsilon, private_->Epsilon());
      done["epsilon"] = epsilon;
      done["delta"] = recipe_.privacy->delta;
      done["neighbours"] = dp::NeighboursName(recipe_.privacy->neighbours);
      if (recipe_.privacy->allow_large_delta) done["large_delta_allowed"] = true;
      resolved.privacy->noise_multiplier = private_->plan().noise_multiplier;
      resolved.training.steps = steps_;
    }
    done["steps"] = steps_;
    done["planned_steps"] = recipe_.training.steps;
    done["output"] = recipe_.output.string();
    if (best_step_) done["best_step"] = *best_step_;
    output.Release();
    CLOISTER_RETURN_IF_ERROR(model_->Save(output.path(), recipe_.model));
    FinishedRun run = {.recipe = resolved,
                       .planned_steps = recipe_.training.steps,
                       .events = log_.text() + done.dump() + "\n"};
    if (private_) {
      CLOISTER_ASSIGN_OR_RETURN(run.spend, private_->Spent());
    }
    CLOISTER_RETURN_IF_ERROR(WriteRunReport(output.path(), run));
    CLOISTER_RETURN_IF_ERROR(output.Commit());
    checkpoints_->RemoveNoise();
    sink_(done);
    return {};
  }

  // Together: where the recipe asks for it, the parameters of the best checkpoint in place of the
  // last ones.
  base::Status TakeBest() {
    CLOISTER_ASSIGN_OR_RETURN(const bool due, ranks_.Decide(recipe_.checkpoints &&
                                                            recipe_.checkpoints->load_best_at_end));
    if (!due) return {};
    KeepWhatIsDone(true);
    return updater_->RestoreKept([this](const StateArrays& kept) -> base::Status {
      security::SecretBytes key;
      if (private_) {
        CLOISTER_ASSIGN_OR_RETURN(key, private_->SealingKey());
      }
      CLOISTER_ASSIGN_OR_RETURN(best_step_,
                                checkpoints_->RestoreBest(kept, private_ ? &key : nullptr));
      return {};
    });
  }

  const Recipe& recipe_;
  const RunOptions& options_;
  RunProbe* probe_;
  const std::unique_ptr<Ranks> alone_ = OneRank();
  Ranks& ranks_ = options_.ranks == nullptr ? *alone_ : *options_.ranks;
  const EventSink sink_;  // of the first rank; elsewhere nobody is told
  const TrainableModel::Progress keep_going_ = [this](std::int64_t) {
    if (options_.stop && options_.stop()) ranks_.RequestStop();
    return ranks_.GoOn();
  };
  std::optional<OutputFolder> output_;  // of the first rank
  std::optional<RunData> data_;
  std::unique_ptr<TrainableModel> model_;
  std::optional<Updater> updater_;
  std::optional<ShuffledBatches> batches_;
  std::optional<RunCheckpoints> checkpoints_;
  std::optional<PrivateSide> private_;  // holds on to checkpoints_
  std::int64_t steps_ = 0;
  std::int64_t done_ = 0;                  // steps that were taken
  bool lost_ = false;                      // whether steps were debited and their results lost
  std::optional<std::int64_t> best_step_;  // whose parameters are in place of the last ones
  std::int64_t evaluated_ = -1;            // the step of the last held-out loss
  std::optional<Evaluation> evaluation_;
  EventLog log_;
};

}  // namespace

base::Status RunTraining(const Recipe& recipe, const EventSink& sink, const RunOptions& options) {
  const base::Result<Recipe> resolved = ResolveTargets(recipe);
  if (resolved) return TrainingRun(*resolved, sink, options).RunAndLeave();
  const base::Status unresolved = tl::unexpected(resolved.error());
  return options.ranks == nullptr ? unresolved : options.ranks->Leave(unresolved);
}

}  // namespace cloister::trainer
