#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "dp/ledger/ledger.h"
#include "dp/matrix_factorization/correlated_noise.h"
#include "trainer/checkpoint/checkpoint_folder.h"
#include "trainer/optimisation/adamw.h"
#include "trainer/recipe/recipe.h"

namespace cloister::trainer {

// The checkpoints of one run: none where the recipe asks for none. Not thread-safe.
class RunCheckpoints {
 public:
  // Takes the recipe's folder for a fresh run, or `resume` to go on from its newest checkpoint.
  // kInvalidArgument for a checkpoint of another recipe, naming the first difference, and to resume
  // without the recipe's 'checkpoints'; kFailedPrecondition for one of another model or training
  // file; else the errors of CheckpointFolder.
  static base::Result<RunCheckpoints> Begin(const Recipe& recipe,
                                            const std::optional<std::filesystem::path>& resume);

  bool active() const { return folder_.has_value(); }
  // What the run goes on from; null for a fresh one.
  const CheckpointHeader* resumed() const { return resumed_ ? &*resumed_ : nullptr; }
  // A private one: kFailedPrecondition unless the holder of this ledger wrote it, so that its job,
  // step, recipe and data are what they were.
  base::Status Authenticate(const dp::Ledger& ledger) const;
  const std::filesystem::path& path() const { return folder_->path(); }
  // Whether one is to be written after `step`: so many steps after the last one as the recipe says.
  bool Due(std::int64_t step) const;
  std::int64_t last() const { return last_; }  // the step of the newest; -1 for none

  // Parameters and moments of the checkpoint that the run goes on from, once: its file is let go.
  // kDataLoss for other sizes.
  base::Status Restore(std::span<float> parameters, AdamW& optimizer);

  // What changes from one to the next.
  struct State {
    std::int64_t step = 0;
    bool moved = false;
    std::string events;
    std::int64_t evaluated = -1;
    std::optional<CheckpointHeader::Private> privacy;
    std::vector<std::uint8_t> noise;  // sealed; empty where none is kept
    security::SecretBytes key;        // the job's, with privacy
  };
  base::Status Write(State state, std::span<const float> parameters, const AdamW& optimizer);

  // Keeps the row of the noise's last step, sealed for `job`: before the step is released. Nothing
  // where the run has no checkpoints: it cannot be gone on with.
  base::Status KeepNoise(const dp::CorrelatedNoise& noise, const std::string& job,
                         const dp::Ledger& ledger);
  void RemoveNoise();  // of a run that is done
  // The noise's whole state, sealed for Write().
  base::Result<std::vector<std::uint8_t>> Seal(const dp::CorrelatedNoise& noise,
                                               const std::string& job,
                                               const dp::Ledger& ledger) const;
  // Opened, what the noise goes on from: the checkpoint's state and the rows of later steps.
  base::Result<std::vector<security::SecretBytes>> NoiseStates(const dp::Ledger& ledger) const;

 private:
  std::optional<CheckpointFolder> folder_;
  std::optional<CheckpointHeader> resumed_;
  std::optional<CheckpointFile> file_;  // of it, until it is restored
  std::int64_t every_ = 0;
  std::int64_t last_ = -1;
  CheckpointHeader constant_;  // recipe and digests
};

}  // namespace cloister::trainer
