#include "trainer/run/run_checkpoints.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <sstream>
#include <utility>

#include "dp/matrix_factorization/sealed_noise.h"
#include "trainer/checkpoint/input_digest.h"

namespace cloister::trainer {
namespace {

constexpr const char* kParameters = "parameters";
constexpr const char* kFirst = "first_moments";
constexpr const char* kSecond = "second_moments";
constexpr const char* kSteps = "optimizer_steps";
constexpr const char* kNoise = "noise";

std::span<const std::uint8_t> AsWords(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()};
}

// The first line of one text that the other has not in its place.
std::string FirstDifference(const std::string& now, const std::string& then) {
  std::istringstream a(now), b(then);
  std::string x, y;
  while (true) {
    const bool more_x = static_cast<bool>(std::getline(a, x));
    const bool more_y = static_cast<bool>(std::getline(b, y));
    if (!more_x && !more_y) return "";
    if (!more_x) return "'" + y + "' is missing";
    if (!more_y) return "'" + x + "' is new";
    if (x != y) return "'" + x + "' was '" + y + "'";
  }
}

base::Status CheckSame(const CheckpointHeader& then, const CheckpointHeader& now) {
  const auto other = [](const std::string& what, const std::string& mend) {
    return base::Fail(base::Code::kFailedPrecondition,
                      "--resume: the checkpoint is of another " + what + ": " + mend);
  };
  if (then.recipe != now.recipe) {
    return other("recipe (" + FirstDifference(now.recipe, then.recipe) + ")",
                 "go on with the recipe that the run began with");
  }
  if (then.model_digest != now.model_digest) {
    return other("model", "name the model that the run began with");
  }
  if (then.data_digest != now.data_digest) {
    return other("training file", "name the file that the run began with, unchanged");
  }
  return {};
}

dp::NoiseStateContext ContextOf(const std::string& job, std::int64_t step) { return {job, step}; }

}  // namespace

base::Result<RunCheckpoints> RunCheckpoints::Begin(
    const Recipe& recipe, const std::optional<std::filesystem::path>& resume) {
  RunCheckpoints run;
  if (!recipe.checkpoints) {
    if (!resume) return run;
    return base::Fail(base::Code::kInvalidArgument,
                      "--resume: the recipe has no 'checkpoints': give checkpoints.folder and "
                      "checkpoints.every as the run had them");
  }
  run.every_ = recipe.checkpoints->every;
  CLOISTER_ASSIGN_OR_RETURN(
      CheckpointFolder folder,
      resume ? CheckpointFolder::Open(*resume, recipe.checkpoints->keep)
             : CheckpointFolder::Create(recipe.checkpoints->folder, recipe.checkpoints->keep));
  run.folder_.emplace(std::move(folder));
  run.constant_.recipe = PinnedRecipe(recipe);
  CLOISTER_ASSIGN_OR_RETURN(run.constant_.model_digest, ModelDigest(recipe.model));
  CLOISTER_ASSIGN_OR_RETURN(run.constant_.data_digest, FileDigest(recipe.data.train));
  if (!resume) return run;
  CLOISTER_ASSIGN_OR_RETURN(CheckpointFile newest, run.folder_->Newest());
  CLOISTER_RETURN_IF_ERROR(CheckSame(newest.header(), run.constant_));
  if (newest.header().privacy.has_value() != recipe.privacy.has_value()) {
    return base::Fail(base::Code::kDataLoss, "checkpoint: it says nothing of the ledger's rows");
  }
  run.last_ = newest.header().step;
  run.resumed_.emplace(std::move(newest));
  return run;
}

bool RunCheckpoints::Due(std::int64_t step) const {
  return folder_ && step - std::max<std::int64_t>(last_, 0) >= every_;
}

base::Status RunCheckpoints::Restore(std::span<float> parameters, AdamW& optimizer) const {
  const std::size_t bytes = parameters.size_bytes();
  CLOISTER_ASSIGN_OR_RETURN(const auto values, resumed_->Array(kParameters, bytes));
  CLOISTER_ASSIGN_OR_RETURN(const auto first, resumed_->Array(kFirst, bytes));
  CLOISTER_ASSIGN_OR_RETURN(const auto second, resumed_->Array(kSecond, bytes));
  std::int64_t steps = 0;
  CLOISTER_ASSIGN_OR_RETURN(const auto count, resumed_->Array(kSteps, sizeof steps));
  std::memcpy(&steps, count.data(), sizeof steps);
  if (steps < 0 || steps > resumed_->header().step) {
    return base::Fail(base::Code::kDataLoss, "checkpoint: its optimizer took " +
                                                 std::to_string(steps) + " steps of " +
                                                 std::to_string(resumed_->header().step));
  }
  std::memcpy(parameters.data(), values.data(), bytes);
  std::vector<float> one(parameters.size()), two(parameters.size());
  std::memcpy(one.data(), first.data(), bytes);
  std::memcpy(two.data(), second.data(), bytes);
  optimizer.Restore(steps, one, two);
  return {};
}

base::Status RunCheckpoints::Write(State state, std::span<const float> parameters,
                                   const AdamW& optimizer) {
  CheckpointHeader header = constant_;
  header.step = state.step;
  header.moved = state.moved;
  header.events = std::move(state.events);
  header.privacy = std::move(state.privacy);
  const std::int64_t steps = optimizer.steps();
  const CheckpointArrays arrays = {
      {kParameters, std::as_bytes(parameters)},
      {kFirst, std::as_bytes(optimizer.first_moments())},
      {kSecond, std::as_bytes(optimizer.second_moments())},
      {kSteps, std::as_bytes(std::span(&steps, 1))},
      {kNoise, std::as_bytes(std::span(std::as_const(state.noise)))},
  };
  CLOISTER_RETURN_IF_ERROR(folder_->Write(header, arrays));
  last_ = header.step;
  return {};
}

base::Status RunCheckpoints::KeepNoise(const dp::CorrelatedNoise& noise, const std::string& job,
                                       const dp::Ledger& ledger) {
  if (!folder_) return {};
  CLOISTER_ASSIGN_OR_RETURN(const security::SecretBytes key, ledger.SealingKey(job));
  return folder_->WriteNoise(noise.step(), dp::SealNoiseState(noise.SerializeLastRow(),
                                                              ContextOf(job, noise.step()), key));
}

base::Result<std::vector<std::uint8_t>> RunCheckpoints::Seal(const dp::CorrelatedNoise& noise,
                                                             const std::string& job,
                                                             const dp::Ledger& ledger) const {
  CLOISTER_ASSIGN_OR_RETURN(const security::SecretBytes key, ledger.SealingKey(job));
  return dp::SealNoiseState(noise.Serialize(), ContextOf(job, noise.step()), key);
}

base::Result<std::vector<security::SecretBytes>> RunCheckpoints::NoiseStates(
    const dp::Ledger& ledger) const {
  const std::string& job = resumed_->header().privacy->job;
  CLOISTER_ASSIGN_OR_RETURN(const security::SecretBytes key, ledger.SealingKey(job));
  std::vector<security::SecretBytes> states;
  CLOISTER_ASSIGN_OR_RETURN(
      states.emplace_back(),
      dp::OpenNoiseState(AsWords(resumed_->Array(kNoise)), ContextOf(job, last_), key));
  CLOISTER_ASSIGN_OR_RETURN(const auto rows, folder_->NoiseAfter(last_));
  for (const auto& [step, sealed] : rows) {
    CLOISTER_ASSIGN_OR_RETURN(states.emplace_back(),
                              dp::OpenNoiseState(sealed, ContextOf(job, step), key));
  }
  return states;
}

}  // namespace cloister::trainer
