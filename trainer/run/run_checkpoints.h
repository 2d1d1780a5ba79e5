#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "dp/ledger/ledger.h"
#include "dp/matrix_factorization/correlated_noise.h"
#include "trainer/checkpoint/background_writer.h"
#include "trainer/checkpoint/checkpoint_folder.h"
#include "trainer/checkpoint/input_digest.h"
#include "trainer/optimisation/optimizer.h"
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

  bool active() const { return folder_ != nullptr; }
  // What the run goes on from; null for a fresh one.
  const CheckpointHeader* resumed() const { return resumed_ ? &*resumed_ : nullptr; }
  // A private one: kFailedPrecondition unless the holder of this ledger wrote it, so that its job,
  // step, recipe and data are what they were.
  base::Status Authenticate(const dp::Ledger& ledger) const;
  const std::filesystem::path& path() const { return folder_->path(); }
  // Of the model and the training file as Begin() found them; none where the run has no
  // checkpoints. Those of the file that are written are keyed, with privacy.
  KnownDigests digests() const;
  // Whether one is to be written after `step`: so many steps after the last one as the recipe says,
  // or because it is the best so far.
  bool Due(std::int64_t step);
  // The step of the newest that was written or is being written; -1 for none.
  std::int64_t newest() const { return std::max(last_, writer_->pending()); }
  // Told of the held-out loss after `step`.
  void Evaluated(std::int64_t step, double loss);

  // What the run goes on from, once: its file is let go. kDataLoss for other sizes.
  base::Status Restore(const StateArrays& arrays);

  // What changes from one to the next, beside the arrays.
  struct State {
    std::int64_t step = 0;
    bool moved = false;
    std::string events;
    std::int64_t evaluated = -1;
    std::optional<CheckpointHeader::Private> privacy;
    std::vector<std::uint8_t> noise;  // sealed; empty where none is kept
    security::SecretBytes key;        // the job's, with privacy
  };
  // Begins to write one, when the one before is written; the arrays may change as soon as it
  // returns. Its errors are Finish()'s, or its own where it could not go on meanwhile
  // (BackgroundWriter); those of the one before are said on the log.
  base::Status Write(State state, const StateArrays& arrays);
  // Waits until all is written; what stood in the last one's way.
  base::Status Finish();
  // The best so far that is kept, its arrays' values for the names in `arrays`; the step, or
  // nothing where there is none. With `key`, the job's, kFailedPrecondition for one that was not
  // written with it; kDataLoss for other sizes.
  base::Result<std::optional<std::int64_t>> RestoreBest(const StateArrays& arrays,
                                                        const security::SecretBytes* key);

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
  tl::unexpected<base::Error> NotOfLedger() const;
  base::Status Note(const BackgroundWriter::Written& written);
  void NoteOrSay(const BackgroundWriter::Written& written);

  std::unique_ptr<CheckpointFolder> folder_;  // where it is, for the writer's thread
  std::unique_ptr<BackgroundWriter> writer_ = std::make_unique<BackgroundWriter>();
  std::optional<CheckpointHeader> resumed_;
  std::optional<CheckpointFile> file_;  // of it, until it is restored
  std::int64_t every_ = 0;
  std::int64_t noise_rows_ = 1;  // that the run needs to go on
  std::int64_t last_ = -1;       // the step of the newest that is written
  bool keep_best_ = false;
  std::optional<CheckpointHeader::Best> best_;       // that is written
  std::optional<CheckpointHeader::Best> candidate_;  // the better one, until it is
  CheckpointHeader constant_;                        // recipe and digests
};

}  // namespace cloister::trainer
