#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "dp/ledger/ledger.h"
#include "dp/mechanism/clipped_sum.h"
#include "dp/mechanism/gaussian_mechanism.h"
#include "security/random.h"
#include "trainer/data/chat_file.h"
#include "trainer/data/data_units.h"
#include "trainer/recipe/recipe.h"
#include "trainer/run/adaptive_norm.h"
#include "trainer/run/privacy_plan.h"
#include "trainer/trainable_model.h"

namespace cloister::trainer {

// What a private run holds beside a plain one: plan, ledger, noise and sampling. Not thread-safe.
class PrivateSide {
 public:
  // Registers the training records and asks whether the whole plan fits their budget.
  static base::Result<PrivateSide> Open(const Recipe& recipe, const PrivacyPlan& plan,
                                        const ChatFile& train);

  // The records of each unit of one step; may be none, and the step goes its way all the same.
  std::vector<std::span<const std::int64_t>> Draw();
  // Of so many units beside the records, by the same sampling.
  std::vector<std::int64_t> DrawOf(std::int64_t units);
  // How the step's units are clipped.
  TrainableModel::ClipOptions clipping() const;
  // Spends one step in the ledger, then returns the noised sum over the nominal batch size, and
  // moves an adaptive clip norm.
  base::Result<std::vector<double>> Release(dp::ClippedSum sum, std::int64_t step);

  // Of this run at the recipe's delta, as the ledger has it.
  base::Result<double> Epsilon() const;
  // Tokens of a batch of nominal size: the true one is a secret.
  double NominalTokens() const;

  const PrivacyPlan& plan() const { return plan_; }
  double clip_norm() const { return adaptive_ ? adaptive_->norm() : privacy_.clip_norm; }

 private:
  PrivateSide(const Recipe::Privacy& privacy, const PrivacyPlan& plan, DataUnits units,
              std::unique_ptr<dp::Ledger> ledger, std::string data_set,
              dp::GaussianMechanism mechanism);

  double NominalBatch() const;

  Recipe::Privacy privacy_;
  PrivacyPlan plan_;
  DataUnits units_;
  std::unique_ptr<dp::Ledger> ledger_;
  std::string data_set_;
  std::string run_;
  dp::GaussianMechanism mechanism_;
  security::AesCtrStream sampling_;
  std::optional<AdaptiveClipNorm> adaptive_;
};

}  // namespace cloister::trainer
