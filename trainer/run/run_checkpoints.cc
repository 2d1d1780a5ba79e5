#include "trainer/run/run_checkpoints.h"

#include <algorithm>
#include <map>
#include <sstream>
#include <utility>

#include "base/log.h"
#include "dp/matrix_factorization/sealed_noise.h"
#include "security/primitives.h"

namespace cloister::trainer {
namespace {

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

tl::unexpected<base::Error> OfAnother(const std::string& what) {
  return base::Fail(base::Code::kFailedPrecondition,
                    "--resume: the checkpoint is of another " + what +
                        ": name the one that the run began with, unchanged");
}

// With privacy. A plain digest would tell whoever has a checkpoint which of two files it was.
std::string KeyedDigest(const security::SecretBytes& key, const std::string& digest) {
  const std::string text = "cloister checkpoint, training file " + digest;
  const std::vector<std::uint8_t> message(text.begin(), text.end());
  return security::Hex(security::HmacSha256(key.bytes(), message));
}

base::Status CheckSame(const CheckpointHeader& then, const CheckpointHeader& now) {
  if (then.recipe != now.recipe) {
    return base::Fail(base::Code::kInvalidArgument,
                      "--resume: another recipe, " + FirstDifference(now.recipe, then.recipe) +
                          ": go on with the recipe that the run began with");
  }
  if (then.model_digest != now.model_digest) return OfAnother("model");
  // With privacy Authenticate() compares it.
  if (!then.privacy && then.data_digest != now.data_digest) return OfAnother("training file");
  return {};
}

// A state that ends with the noise's last step.
base::Result<std::vector<std::uint8_t>> Sealed(const security::SecretBytes& state,
                                               const dp::CorrelatedNoise& noise,
                                               const std::string& job, const dp::Ledger& ledger) {
  CLOISTER_ASSIGN_OR_RETURN(const security::SecretBytes key, ledger.SealingKey(job));
  return dp::SealNoiseState(state, {job, noise.step()}, key);
}

base::Status ReadArrays(const CheckpointFile& file, const StateArrays& arrays) {
  for (const auto& [name, bytes] : arrays) {
    CLOISTER_RETURN_IF_ERROR(file.Array(name, bytes.size()));
  }
  for (const auto& [name, bytes] : arrays) {
    const std::span<const std::byte> found = file.Array(name);
    std::copy(found.begin(), found.end(), bytes.begin());
  }
  return {};
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
  run.folder_ = std::make_unique<CheckpointFolder>(std::move(folder));
  run.keep_best_ = recipe.checkpoints->keep_best;
  if (recipe.privacy && recipe.privacy->matrix) {
    run.noise_rows_ = std::max<std::int64_t>(1, recipe.privacy->matrix->bands - 1);
  }
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
  // One that is no longer whole is the best no more.
  const std::optional<CheckpointHeader::Best>& best = newest.header().best;
  if (run.keep_best_ && best && run.folder_->At(best->step)) run.best_ = best;
  run.file_.emplace(std::move(newest));
  return run;
}

KnownDigests RunCheckpoints::digests() const {
  if (!folder_) return {};
  return {constant_.model_digest, constant_.data_digest};
}

bool RunCheckpoints::Due(std::int64_t step) {
  if (!folder_) return false;
  if (const auto written = writer_->Collect(false)) NoteOrSay(*written);
  return step - std::max<std::int64_t>(newest(), 0) >= every_ ||
         (candidate_ && candidate_->step == step && newest() < step);
}

void RunCheckpoints::Evaluated(std::int64_t step, double loss) {
  if (!folder_ || !keep_best_ || step == 0) return;
  if (const auto written = writer_->Collect(true)) NoteOrSay(*written);
  if (best_ && !(loss < best_->loss)) return;
  (last_ == step ? best_ : candidate_) = {step, loss};
}

base::Status RunCheckpoints::Note(const BackgroundWriter::Written& written) {
  if (!written.status) return written.status;
  last_ = std::max(last_, written.header.step);
  if (written.header.best) best_ = written.header.best;
  return {};
}

void RunCheckpoints::NoteOrSay(const BackgroundWriter::Written& written) {
  if (Note(written)) return;
  base::LogWarning("no checkpoint of step " + std::to_string(written.header.step) + ": " +
                   written.status.error().message);
}

base::Status RunCheckpoints::Authenticate(const dp::Ledger& ledger) const {
  CLOISTER_ASSIGN_OR_RETURN(const security::SecretBytes key,
                            ledger.SealingKey(resumed_->privacy->job));
  if (!file_->IsOf(key)) return NotOfLedger();
  if (resumed_->data_digest != KeyedDigest(key, constant_.data_digest)) {
    return OfAnother("training file");
  }
  return {};
}

tl::unexpected<base::Error> RunCheckpoints::NotOfLedger() const {
  return base::Fail(base::Code::kFailedPrecondition,
                    "--resume: the checkpoint in " + path().string() +
                        " was not written with this ledger, or was altered: name the ledger that "
                        "the run began with");
}

base::Status RunCheckpoints::Restore(const StateArrays& arrays) {
  CLOISTER_RETURN_IF_ERROR(ReadArrays(*file_, arrays));
  file_.reset();
  return {};
}

base::Status RunCheckpoints::Write(State state, const StateArrays& arrays) {
  CheckpointToWrite checkpoint{.header = constant_};
  CheckpointHeader& header = checkpoint.header;
  header.step = state.step;
  header.moved = state.moved;
  header.events = std::move(state.events);
  header.evaluated = state.evaluated;
  header.privacy = std::move(state.privacy);
  header.best = candidate_ && candidate_->step == state.step ? candidate_ : best_;
  if (header.privacy) {
    header.data_digest = KeyedDigest(state.key, constant_.data_digest);
    checkpoint.key = std::move(state.key);
  }
  for (const auto& [name, bytes] : arrays) checkpoint.copied[name] = bytes;
  checkpoint.kept[kNoise] = std::move(state.noise);
  base::Status own;
  for (const BackgroundWriter::Written& written : writer_->Start(*folder_, std::move(checkpoint))) {
    if (written.header.step == state.step) {
      own = Note(written);
    } else {
      NoteOrSay(written);
    }
  }
  return own;
}

base::Status RunCheckpoints::Finish() {
  if (!folder_) return {};
  const auto written = writer_->Collect(true);
  return written ? Note(*written) : base::Status();
}

base::Result<std::optional<std::int64_t>> RunCheckpoints::RestoreBest(
    const StateArrays& arrays, const security::SecretBytes* key) {
  if (!best_) return std::nullopt;
  CLOISTER_ASSIGN_OR_RETURN(const CheckpointFile file, folder_->At(best_->step));
  if (key != nullptr && !file.IsOf(*key)) return NotOfLedger();
  CLOISTER_RETURN_IF_ERROR(ReadArrays(file, arrays));
  return best_->step;
}

base::Status RunCheckpoints::KeepNoise(const dp::CorrelatedNoise& noise, const std::string& job,
                                       const dp::Ledger& ledger) {
  if (!folder_) return {};
  CLOISTER_ASSIGN_OR_RETURN(const auto sealed,
                            Sealed(noise.SerializeLastRow(), noise, job, ledger));
  return folder_->WriteNoise(noise.step(), sealed, noise_rows_);
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
  CLOISTER_ASSIGN_OR_RETURN(const auto rows, folder_->LastNoise());
  // Those that no later step needs are gone: where they begin after the step that follows the
  // checkpoint's, the rest does without the checkpoint's state.
  std::vector<security::SecretBytes> states;
  const bool follow = rows.empty() || rows.begin()->first <= last_ + 1;
  if (follow) {
    CLOISTER_ASSIGN_OR_RETURN(states.emplace_back(),
                              dp::OpenNoiseState(AsWords(file_->Array(kNoise)), {job, last_}, key));
  }
  for (const auto& [step, sealed] : rows) {
    if (follow && step <= last_) continue;
    CLOISTER_ASSIGN_OR_RETURN(states.emplace_back(), dp::OpenNoiseState(sealed, {job, step}, key));
  }
  return states;
}

}  // namespace cloister::trainer
