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

// Lines of a recipe, each with the section that it stands in.
std::vector<std::string> Lines(const std::string& yaml) {
  std::istringstream stream(yaml);
  std::vector<std::string> lines;
  std::string section;
  for (std::string line; std::getline(stream, line);) {
    if (!line.starts_with(' ')) section = line;
    lines.push_back(line.starts_with(' ') ? section + line : line);
  }
  return lines;
}

// What one recipe says that the other does not.
std::string FirstDifference(const std::string& now, const std::string& then) {
  const std::vector<std::string> a = Lines(now), b = Lines(then);
  const auto missing = [](const std::vector<std::string>& from,
                          const std::vector<std::string>& in) {
    const auto found = std::find_if(from.begin(), from.end(), [&](const std::string& line) {
      return std::find(in.begin(), in.end(), line) == in.end();
    });
    return found == from.end() ? std::string("nothing of it") : "'" + *found + "'";
  };
  return missing(a, b) + " where the run began with " + missing(b, a);
}

base::Status CheckSame(const CheckpointHeader& then, const CheckpointHeader& now) {
  if (then.recipe != now.recipe) {
    return base::Fail(base::Code::kInvalidArgument,
                      "--resume: another recipe, " + FirstDifference(now.recipe, then.recipe) +
                          ": go on with the recipe that the run began with");
  }
  const auto other = [](const std::string& what) {
    return base::Fail(base::Code::kFailedPrecondition,
                      "--resume: the checkpoint is of another " + what +
                          ": name the one that the run began with, unchanged");
  };
  if (then.model_digest != now.model_digest) return other("model");
  if (then.data_digest != now.data_digest) return other("training file");
  return {};
}

// A state that ends with the noise's last step.
base::Result<std::vector<std::uint8_t>> Sealed(const security::SecretBytes& state,
                                               const dp::CorrelatedNoise& noise,
                                               const std::string& job, const dp::Ledger& ledger) {
  CLOISTER_ASSIGN_OR_RETURN(const security::SecretBytes key, ledger.SealingKey(job));
  return dp::SealNoiseState(state, {job, noise.step()}, key);
}

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
    return base::Fail(base::Code::kDataLoss, "checkpoint in " + resume->string() +
                                                 ": it says nothing of the ledger's rows");
  }
  run.last_ = newest.header().step;
  run.resumed_ = newest.header();
  run.file_.emplace(std::move(newest));
  return run;
}

bool RunCheckpoints::Due(std::int64_t step) const {
  return folder_ && step - std::max<std::int64_t>(last_, 0) >= every_;
}

base::Status RunCheckpoints::Authenticate(const dp::Ledger& ledger) const {
  CLOISTER_ASSIGN_OR_RETURN(const security::SecretBytes key,
                            ledger.SealingKey(resumed_->privacy->job));
  if (file_->IsOf(key)) return {};
  return base::Fail(base::Code::kFailedPrecondition,
                    "--resume: the checkpoint in " + path().string() +
                        " was not written with this ledger, or was altered: name the ledger that "
                        "the run began with");
}

base::Status RunCheckpoints::Restore(std::span<float> parameters, AdamW& optimizer) {
  const std::size_t bytes = parameters.size_bytes();
  CLOISTER_ASSIGN_OR_RETURN(const auto values, file_->Array(kParameters, bytes));
  CLOISTER_ASSIGN_OR_RETURN(const auto first, file_->Array(kFirst, bytes));
  CLOISTER_ASSIGN_OR_RETURN(const auto second, file_->Array(kSecond, bytes));
  std::int64_t steps = 0;
  CLOISTER_ASSIGN_OR_RETURN(const auto count, file_->Array(kSteps, sizeof steps));
  std::memcpy(&steps, count.data(), sizeof steps);
  if (steps < 0 || steps > resumed_->step) {
    return base::Fail(base::Code::kDataLoss, "checkpoint: its optimizer took " +
                                                 std::to_string(steps) + " steps of " +
                                                 std::to_string(resumed_->step));
  }
  std::memcpy(parameters.data(), values.data(), bytes);
  std::memcpy(optimizer.first_moments().data(), first.data(), bytes);
  std::memcpy(optimizer.second_moments().data(), second.data(), bytes);
  optimizer.SetSteps(steps);
  file_.reset();
  return {};
}

base::Status RunCheckpoints::Write(State state, std::span<const float> parameters,
                                   const AdamW& optimizer) {
  CheckpointHeader header = constant_;
  header.step = state.step;
  header.moved = state.moved;
  header.events = std::move(state.events);
  header.evaluated = state.evaluated;
  header.privacy = std::move(state.privacy);
  const std::int64_t steps = optimizer.steps();
  const CheckpointArrays arrays = {
      {kParameters, std::as_bytes(parameters)},
      {kFirst, std::as_bytes(optimizer.first_moments())},
      {kSecond, std::as_bytes(optimizer.second_moments())},
      {kSteps, std::as_bytes(std::span(&steps, 1))},
      {kNoise, std::as_bytes(std::span(std::as_const(state.noise)))},
  };
  CLOISTER_RETURN_IF_ERROR(folder_->Write(header, arrays, header.privacy ? &state.key : nullptr));
  last_ = header.step;
  return {};
}

base::Status RunCheckpoints::KeepNoise(const dp::CorrelatedNoise& noise, const std::string& job,
                                       const dp::Ledger& ledger) {
  if (!folder_) return {};
  CLOISTER_ASSIGN_OR_RETURN(const auto sealed,
                            Sealed(noise.SerializeLastRow(), noise, job, ledger));
  return folder_->WriteNoise(noise.step(), sealed);
}

void RunCheckpoints::RemoveNoise() {
  if (folder_) folder_->RemoveNoise();
}

base::Result<std::vector<std::uint8_t>> RunCheckpoints::Seal(const dp::CorrelatedNoise& noise,
                                                             const std::string& job,
                                                             const dp::Ledger& ledger) const {
  return Sealed(noise.Serialize(), noise, job, ledger);
}

base::Result<std::vector<security::SecretBytes>> RunCheckpoints::NoiseStates(
    const dp::Ledger& ledger) const {
  const std::string& job = resumed_->privacy->job;
  CLOISTER_ASSIGN_OR_RETURN(const security::SecretBytes key, ledger.SealingKey(job));
  std::vector<security::SecretBytes> states;
  CLOISTER_ASSIGN_OR_RETURN(states.emplace_back(),
                            dp::OpenNoiseState(AsWords(file_->Array(kNoise)), {job, last_}, key));
  CLOISTER_ASSIGN_OR_RETURN(const auto rows, folder_->NoiseAfter(last_));
  for (const auto& [step, sealed] : rows) {
    CLOISTER_ASSIGN_OR_RETURN(states.emplace_back(), dp::OpenNoiseState(sealed, {job, step}, key));
  }
  return states;
}

}  // namespace cloister::trainer
