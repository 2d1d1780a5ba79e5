#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "dp/ledger/ledger.h"
#include "dp/matrix_factorization/matrix_mechanism.h"
#include "dp/mechanism/clipped_sum.h"
#include "dp/mechanism/gaussian_mechanism.h"
#include "security/random.h"
#include "trainer/data/data_units.h"
#include "trainer/data/record_file.h"
#include "trainer/data/sampling.h"
#include "trainer/distributed/ranks.h"
#include "trainer/recipe/recipe.h"
#include "trainer/report/recorded_spend.h"
#include "trainer/run/adaptive_norm.h"
#include "trainer/run/privacy_plan.h"
#include "trainer/run/run_checkpoints.h"
#include "trainer/trainable_model.h"

namespace cloister::trainer {

// A noised sum over the nominal batch size, in the sum's own memory.
class NoisedGradient {
 public:
  NoisedGradient(dp::NoisedSum sum, std::int64_t parameters, double scale, double noise_variance)
      : sum_(std::move(sum)),
        parameters_(parameters),
        scale_(scale),
        noise_variance_(noise_variance) {}

  std::int64_t parameters() const { return parameters_; }
  // Of the noise in each number, as the plan and the released clip norm say: public.
  double noise_variance() const { return noise_variance_; }
  // Numbers [first, first + size of values).
  void Read(std::int64_t first, std::span<float> values) const;
  // The noised sum itself, as the mechanism released it: in units of the clip norm where that
  // adapts.
  void ReadSum(std::span<double> values) const;
  // Its memory, when it has been read.
  dp::LatticeSum TakeMemory() && { return std::move(sum_).TakePoints(); }

 private:
  dp::NoisedSum sum_;
  std::int64_t parameters_;
  double scale_;
  double noise_variance_;
};

// What a private run holds beside a plain one: plan, ledger, noise and sampling. Of several ranks
// the first alone has a ledger and a mechanism; each draws from a shard of the units, of which no
// unit is on two, by a stream of its own (docs/design/0014-ranks.md). Not thread-safe.
class PrivateSide {
 public:
  // Registers the training records and asks whether the whole plan fits their budget. In a fixed
  // order unit i takes slot i modulo their number: fewer units leave the last slots empty, more
  // share some. Neither is refused, for how many there are is nobody's business.
  // Where `checkpoints`, which must outlive it, goes on from one, so does this: with the job of the
  // ledger's rows, after the last step that it has debited, whether or not the checkpoint knows its
  // result. Sampling and noise are fresh. kFailedPrecondition for a ledger that knows of fewer
  // steps than the checkpoint. `ranks` must outlive it; on others than the first `checkpoints` and
  // the ledger are not looked at.
  static base::Result<PrivateSide> Open(const Recipe& recipe, const PrivacyPlan& plan,
                                        const RecordFile& train, RunCheckpoints& checkpoints,
                                        Ranks& ranks);
  // By all ranks together, once: those that have no ledger learn where the run stands.
  base::Status Begin() { return Share(); }

  // The records of each unit of one step, of this rank's shard; may be none, and the step goes its
  // way all the same.
  std::vector<std::vector<std::int64_t>> Draw();
  // Which of some units beside the records take part in the step, by the same sampling: indexes of
  // `places`. In a fixed order each stands in the slot of its place, as a unit would, beside
  // whatever stands there.
  std::vector<std::int64_t> DrawOf(std::span<const std::int64_t> places);
  // How the step's units are clipped.
  TrainableModel::ClipOptions clipping() const;
  // By all ranks together: joins their sums on the first, which spends one step in the ledger and
  // then adds the whole noise; all move an adaptive clip norm. An error of the first is one of all.
  // With matrix factorization the first step spends for all, and each
  // is recorded in the ledger before it is released; without checkpoints nothing of the noise is
  // kept, and a run that ends early cannot be gone on with.
  struct Released {
    std::optional<NoisedGradient> gradient;  // on the first rank
    dp::LatticeSum spare{0};                 // on the others

    // When the gradient has been read.
    dp::LatticeSum TakeMemory() && {
      return gradient ? std::move(*gradient).TakeMemory() : std::move(spare);
    }
  };
  base::Result<Released> Release(dp::ClippedSum own, std::int64_t step);

  // The last step that is done, or debited and lost; 0 before the first.
  std::int64_t taken() const { return taken_; }
  // What a checkpoint keeps of this.
  CheckpointHeader::Private state() const { return {run_, clip_norm()}; }
  base::Result<security::SecretBytes> SealingKey() const { return ledger_->SealingKey(run_); }
  // The correlated noise, sealed; empty for independent noise.
  base::Result<std::vector<std::uint8_t>> SealedNoise() const;

  // Of this run at the recipe's delta, as the ledger has it; of several ranks, on all, as it had it
  // after the last release.
  base::Result<double> Epsilon() const;
  // What that is the ε of; on the first rank.
  base::Result<RecordedSpend> Spent() const;
  // Tokens of a batch of nominal size: the true one is a secret.
  double NominalTokens() const;

  const PrivacyPlan& plan() const { return plan_; }
  // Whether the first step debits the whole run.
  bool spends_at_once() const { return plan_.matrix.has_value(); }
  double clip_norm() const { return adaptive_ ? adaptive_->norm() : privacy_.clip_norm; }

 private:
  using Mechanism = std::variant<std::monostate, dp::GaussianMechanism, dp::MatrixMechanism>;
  PrivateSide(const Recipe& recipe, const PrivacyPlan& plan, DataUnits units,
              std::unique_ptr<dp::Ledger> ledger, std::string data_set, Mechanism mechanism,
              std::optional<FixedOrderBatches> order, RunCheckpoints& checkpoints, Ranks& ranks);

  static base::Result<Mechanism> MakeMechanism(const PrivacyPlan& plan, const dp::Ledger& ledger,
                                               const RunCheckpoints& checkpoints);
  base::Status GoOn();
  std::vector<std::int64_t> RecordsOf(std::int64_t unit);  // that take part
  std::vector<std::int64_t> Slots() const;                 // of the step, in a fixed order
  base::Result<dp::NoisedSum> Noise(dp::ClippedSum sum, std::int64_t step);
  base::Result<NoisedGradient> ReleaseWhole(dp::ClippedSum sum, std::int64_t step);
  base::Status Share();
  base::Result<double> EpsilonOfLedger() const;
  double NominalBatch() const;
  // Of the noise in each number of the step's sum, as the mechanism has it.
  double NoiseVariance(std::int64_t step) const;

  Recipe::Privacy privacy_;
  std::int64_t batch_size_;  // of a fixed order
  PrivacyPlan plan_;
  DataUnits units_;
  std::unique_ptr<dp::Ledger> ledger_;  // on the first rank, as is a mechanism
  std::string data_set_;
  RunCheckpoints* checkpoints_;
  Ranks* ranks_;
  std::string run_;
  std::int64_t taken_ = 0;
  double epsilon_ = 0;    // of several ranks
  bool debited_ = false;  // with `matrix`, all steps, before this start
  Mechanism mechanism_;
  security::AesCtrStream sampling_;
  std::optional<FixedOrderBatches> order_;
  std::optional<AdaptiveClipNorm> adaptive_;
  std::vector<double> correlation_;  // with `matrix`, of each step: the noise's variance over z's
};

}  // namespace cloister::trainer
