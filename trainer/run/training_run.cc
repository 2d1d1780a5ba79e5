#include "trainer/run/training_run.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"
#include "model/model_files.h"
#include "trainer/data/sampling.h"
#include "trainer/evaluation/evaluation.h"
#include "trainer/report/event_log.h"
#include "trainer/report/run_history.h"
#include "trainer/report/run_report.h"
#include "trainer/report/step_report.h"
#include "trainer/run/matrix_plan.h"
#include "trainer/run/output_folder.h"
#include "trainer/run/private_side.h"
#include "trainer/run/resolve_targets.h"
#include "trainer/run/run_checkpoints.h"
#include "trainer/run/run_data.h"
#include "trainer/run/updater.h"
#include "trainer/trainable_model.h"

namespace cloister::trainer {
namespace {

using nlohmann::ordered_json;

class TrainingRun {
 public:
  TrainingRun(const Recipe& recipe, const EventSink& sink, const RunOptions& options)
      : recipe_(recipe),
        sink_(sink),
        options_(options),
        probe_(options.probe),
        log_(recipe.privacy.has_value(), sink) {}

  base::Status Run() {
    CLOISTER_ASSIGN_OR_RETURN(OutputFolder output,
                              OutputFolder::Create(recipe_.output, options_.resume.has_value()));
    CLOISTER_RETURN_IF_ERROR(Prepare());
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
                            " ended as it began: no record has an answer within "
                            "data.max_tokens, raise it");
    }
    return Save(output);
  }

 private:
  // Everything that can fail for a reason of the recipe's, cheap things first.
  base::Status Prepare() {
    CLOISTER_ASSIGN_OR_RETURN(const auto files, model::ModelFiles::Open(recipe_.model));
    CLOISTER_ASSIGN_OR_RETURN(const model::Architecture architecture, files->architecture());
    if (recipe_.lora) CLOISTER_RETURN_IF_ERROR(model::Validate(*recipe_.lora, architecture));
    if (recipe_.data.max_tokens > architecture.max_context()) {
      return base::Fail(base::Code::kInvalidArgument,
                        "data.max_tokens is more than the model's " +
                            std::to_string(architecture.max_context()) + " positions: lower it");
    }
    const TrainableModel::Size size = TrainableModel::SizeOf(architecture, recipe_.lora);
    std::optional<PrivacyPlan> plan;
    if (recipe_.privacy) {
      CLOISTER_ASSIGN_OR_RETURN(plan, PlanPrivacy(size.parameters, size.layers));
    }
    CLOISTER_ASSIGN_OR_RETURN(RunData data, RunData::Open(recipe_, *files));
    data_.emplace(std::move(data));
    CLOISTER_ASSIGN_OR_RETURN(evaluation_, Evaluation::Open(recipe_, *files, data_->train.file()));
    CLOISTER_ASSIGN_OR_RETURN(RunCheckpoints checkpoints,
                              RunCheckpoints::Begin(recipe_, options_.resume));
    checkpoints_.emplace(std::move(checkpoints));
    if (plan) {
      CLOISTER_ASSIGN_OR_RETURN(
          PrivateSide side, PrivateSide::Open(recipe_, *plan, data_->train.file(), *checkpoints_));
      private_.emplace(std::move(side));
      if (probe_ != nullptr) {
        CLOISTER_RETURN_IF_ERROR(probe_->Start(*plan, size.parameters));
      }
    }
    steps_ = plan ? plan->steps : recipe_.training.steps;
    if (steps_ < recipe_.training.steps) {
      base::LogInfo("privacy.target_epsilon leaves " + std::to_string(steps_) +
                    " of the training.steps " + std::to_string(recipe_.training.steps) +
                    " at this privacy.noise_multiplier: the run ends after them");
    }
    batches_.emplace(data_->train.size(), std::max<std::int64_t>(1, recipe_.training.batch_size),
                     recipe_.training.seed);
    const std::int64_t cores = std::max(1U, std::thread::hardware_concurrency());
    SetThreads(recipe_.training.threads > 0 ? recipe_.training.threads : cores);
    CLOISTER_ASSIGN_OR_RETURN(model_,
                              TrainableModel::Load(*files, recipe_.lora, recipe_.training.compute));
    if (recipe_.lora) {
      CLOISTER_RETURN_IF_ERROR(model_->SetParameters(model::InitialAdapter(
          model::AdapterLayout(*recipe_.lora, architecture), recipe_.lora_seed)));
    }
    updater_.emplace(recipe_, steps_, model_->values());
    return checkpoints_->resumed() != nullptr ? GoOn(*checkpoints_->resumed()) : base::Status();
  }

  // Where the checkpoint stands; a private run where its ledger does, which may be further on.
  base::Status GoOn(const CheckpointHeader& from) {
    CLOISTER_RETURN_IF_ERROR(checkpoints_->Restore(updater_->State()));
    CLOISTER_RETURN_IF_ERROR(updater_->Restored(from.step, from.moved));
    log_.Restore(from.events);
    evaluated_ = from.evaluated;
    done_ = private_ ? private_->taken() : from.step;
    if (done_ > steps_) {
      return base::Fail(base::Code::kInvalidArgument,
                        "--resume: " + std::to_string(done_) + " steps are done, of " +
                            std::to_string(steps_) + " planned: there is nothing to go on with");
    }
    base::LogInfo("goes on after step " + std::to_string(done_));
    if (done_ > from.step) {
      base::LogWarning("steps " + std::to_string(from.step + 1) + " to " + std::to_string(done_) +
                       " were debited and their results are lost: they count as taken");
      log_.Emit({{"event", "resumed"}, {"step", from.step}, {"lost", done_ - from.step}});
      lost_ = true;
    }
    return {};
  }

  // The held-out loss that belongs to the state that the run is in, once.
  base::Status EvaluateIfDue() {
    const std::int64_t every = recipe_.training.eval_every;
    const bool due = done_ == 0 || done_ == steps_ || (every > 0 && done_ % every == 0);
    if (due && evaluated_ < done_) CLOISTER_RETURN_IF_ERROR(Evaluate());
    // A private run can be gone on with from its start: its first steps may be debited before its
    // next checkpoint.
    const bool first = checkpoints_->active() && private_ && checkpoints_->newest() < 0;
    if (first) {
      CLOISTER_RETURN_IF_ERROR(WriteCheckpoint());
      return checkpoints_->Finish();
    }
    if (checkpoints_->Due(done_)) KeepWhatIsDone(false);
    return {};
  }

  // Says why not, and goes on: the steps that are in memory are worth more than the way to disk.
  // At the end of the run it waits for what is being written.
  void KeepWhatIsDone(bool at_end) {
    if (!checkpoints_->active() || best_step_) return;  // others' parameters stand in their place
    base::Status kept = at_end ? checkpoints_->Finish() : base::Status();
    if (done_ > checkpoints_->newest()) kept = WriteCheckpoint();
    if (kept && at_end) kept = checkpoints_->Finish();
    if (!kept) {
      base::LogWarning("no checkpoint of step " + std::to_string(done_) + ": " +
                       kept.error().message);
    }
  }

  base::Status WriteCheckpoint() {
    RunCheckpoints::State state = {
        .step = done_, .moved = updater_->moved(), .events = log_.text(), .evaluated = evaluated_};
    if (private_) {
      state.privacy = private_->state();
      CLOISTER_ASSIGN_OR_RETURN(state.key, private_->SealingKey());
      CLOISTER_ASSIGN_OR_RETURN(state.noise, private_->SealedNoise());
    }
    return checkpoints_->Write(std::move(state), updater_->State());
  }

  base::Result<PrivacyPlan> PlanPrivacy(std::int64_t parameters, std::int64_t layers) const {
    if (recipe_.privacy->matrix) return MakeMatrixPlan(recipe_, parameters, layers);
    return MakePrivacyPlan(*recipe_.privacy, recipe_.training.steps, parameters, layers);
  }

  base::Status Evaluate() {
    if (data_->held_out.empty()) return {};
    const Updater::Averaged averaged(*updater_);
    CLOISTER_ASSIGN_OR_RETURN(
        const double loss,
        model_->Loss(data_->held_out, recipe_.training.micro_batch_tokens, keep_going_));
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

  // What the recipe's `evaluation` says of the model as it begins and as it ends.
  base::Status Judge() {
    if (!evaluation_ || WasJudgedAt(log_.text(), done_)) return {};
    const Updater::Averaged averaged(*updater_);
    CLOISTER_ASSIGN_OR_RETURN(const ordered_json figures, evaluation_->Run(*model_, keep_going_));
    log_.Emit(JudgedEvent(done_, figures));
    return {};
  }

  base::Status Steps() {
    const double nominal_tokens = private_ ? private_->NominalTokens() : 0;
    StepReport told(recipe_, log_, done_, steps_);
    for (std::int64_t step = done_ + 1; step <= steps_; ++step) {
      if (!keep_going_(0)) return StoppedWork();
      model_->BeginStep(recipe_.lora_seed, step);
      told.Begin();
      if (private_) {
        CLOISTER_ASSIGN_OR_RETURN(const double private_loss, PrivateStep(step));
        CLOISTER_ASSIGN_OR_RETURN(const double epsilon, private_->Epsilon());
        done_ = step;
        told.EndPrivate(step, {.epsilon = epsilon,
                               .of_whole_run = private_->spends_at_once(),
                               .clip_norm = private_->clip_norm(),
                               .nominal_tokens = nominal_tokens,
                               .uncovered_loss = private_loss});
      } else {
        CLOISTER_ASSIGN_OR_RETURN(const Done done, PlainStep(step));
        done_ = step;
        told.EndPlain(step, done.loss, done.tokens);
      }
      CLOISTER_RETURN_IF_ERROR(EvaluateIfDue());
    }
    return {};
  }

  struct Done {
    double loss = 0;
    std::int64_t tokens = 0;
  };

  base::Result<Done> PlainStep(std::int64_t step) {
    const std::vector<std::int64_t> records = batches_->Batch(step - 1);
    CLOISTER_ASSIGN_OR_RETURN(const std::vector<Example> examples, data_->train.Load(records));
    CLOISTER_ASSIGN_OR_RETURN(const TrainableModel::Plain plain,
                              model_->Gradient(examples, recipe_.training.loss_mean,
                                               recipe_.training.micro_batch_tokens, keep_going_));
    CLOISTER_RETURN_IF_ERROR(updater_->Step(step, plain.gradient, 1 / std::max(1.0, plain.count)));
    return Done{plain.loss, TokensOf(examples)};
  }

  // Returns the training loss, which is not covered by ε.
  base::Result<double> PrivateStep(std::int64_t step) {
    std::vector<UnitExamples> units;
    for (const std::vector<std::int64_t>& records : private_->Draw()) {
      CLOISTER_ASSIGN_OR_RETURN(units.emplace_back(), data_->train.Load(records));
    }
    const std::vector<dp::audit::Canary> canaries = DrawCanaries();
    TrainableModel::ClipOptions clipping = private_->clipping();
    clipping.canaries = canaries;
    CLOISTER_ASSIGN_OR_RETURN(TrainableModel::Clipped clipped,
                              model_->ClippedGradient(units, clipping, keep_going_));
    CLOISTER_ASSIGN_OR_RETURN(NoisedGradient gradient,
                              private_->Release(std::move(clipped.sum), step));
    if (probe_ != nullptr) {
      std::vector<double> whole(static_cast<std::size_t>(gradient.parameters()));
      gradient.ReadSum(whole);
      probe_->Released(whole);
    }
    CLOISTER_RETURN_IF_ERROR(updater_->Step(step, gradient));
    model_->Reuse(std::move(gradient).TakeMemory());
    return clipped.private_loss;
  }

  std::vector<dp::audit::Canary> DrawCanaries() {
    std::vector<dp::audit::Canary> canaries;
    if (probe_ == nullptr) return canaries;
    const auto units = probe_->units();
    std::vector<std::int64_t> places;
    for (const dp::audit::Canary& unit : units) places.push_back(unit.coordinate);
    for (const std::int64_t drawn : private_->DrawOf(places)) {
      canaries.push_back(units[static_cast<std::size_t>(drawn)]);
    }
    return canaries;
  }

  base::Status Stopped() {
    const std::string steps = std::to_string(done_);
    if (checkpoints_->active()) {
      KeepWhatIsDone(true);
      return base::Fail(base::Code::kCancelled, "stopped by a signal after step " + steps +
                                                    ": go on with it by --resume " +
                                                    checkpoints_->path().string());
    }
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
    updater_->Finish();
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

  // Where the recipe asks for it, the parameters of the best checkpoint in place of the last ones.
  base::Status TakeBest() {
    if (!recipe_.checkpoints || !recipe_.checkpoints->load_best_at_end) return {};
    KeepWhatIsDone(true);
    security::SecretBytes key;
    if (private_) {
      CLOISTER_ASSIGN_OR_RETURN(key, private_->SealingKey());
    }
    CLOISTER_ASSIGN_OR_RETURN(
        best_step_, checkpoints_->RestoreBest(updater_->Kept(), private_ ? &key : nullptr));
    return {};
  }

  const Recipe& recipe_;
  const EventSink& sink_;
  const RunOptions& options_;
  RunProbe* probe_;
  const TrainableModel::Progress keep_going_ = [this](std::int64_t) {
    return !options_.stop || !options_.stop();
  };
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
  CLOISTER_ASSIGN_OR_RETURN(const Recipe resolved, ResolveTargets(recipe));
  return TrainingRun(resolved, sink, options).Run();
}

}  // namespace cloister::trainer
