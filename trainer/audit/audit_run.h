#pragma once

#include <cstdint>

#include "base/result.h"
#include "dp/audit/canary_set.h"
#include "security/random.h"
#include "trainer/recipe/recipe.h"
#include "trainer/run/training_run.h"

namespace cloister::trainer {

struct AuditOptions {
  static constexpr std::int64_t kUsualCanaries = 10'000;
  static constexpr std::int64_t kMostRecords = 1'000'000;
  std::int64_t canaries = 0;  // 0: kUsualCanaries, or as many as there are parameters
  std::int64_t guesses = 0;   // 0: as dp::audit::Judge chooses
  std::int64_t records = 0;   // at least 1
  double confidence = 0;      // within (0, 1)
};

struct AuditResult {
  dp::audit::Verdict verdict;
  double epsilon = 0;  // what the run claims, at `delta`
  double delta = 0;
  std::int64_t steps = 0;
};

// Attacks the private training that `recipe` describes: runs it once, by RunTraining itself, with
// Dirac canaries (dp/audit/canary_set.h) as further units, and guesses from the noised sums which
// of them took part.
//
// It opens neither the recipe's data nor its ledger and writes no output: the run's records are
// random words, its ledger and its adapter lie in a temporary folder that is removed. What it shows
// is therefore about the recipe, the model and this program, and no one's data is spent. An ε is
// claimed for every data set, so that any will do to refute it.
//
// `random` draws canaries, coins and words; the run's own sampling and noise come from the system.
// kInvalidArgument for a recipe without privacy or options out of range; else as RunTraining.
base::Result<AuditResult> RunAudit(const Recipe& recipe, const AuditOptions& options,
                                   const StopRequest& stop, security::AesCtrStream random);

}  // namespace cloister::trainer
