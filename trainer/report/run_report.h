#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "base/result.h"
#include "trainer/recipe/recipe.h"
#include "trainer/report/recorded_spend.h"

namespace cloister::trainer {

// A run that is done.
struct FinishedRun {
  const Recipe& recipe;                // as resolved
  std::int64_t planned_steps = 0;      // more than the recipe's where a target ε cut them
  std::string events;                  // lines of events.jsonl, the last one "done"
  std::optional<RecordedSpend> spend;  // with privacy
};

// Writes into `folder`, beside what was trained (docs/reference/reports.md):
//   recipe.yaml          the recipe as resolved
//   events.jsonl         the events
//   tensorboard/         the same as TensorBoard reads it
//   privacy_events.json  with privacy: the spend, as `cloister privacy epsilon --events` reads it
//   report.html          curves, recipe, hashes, licences and what ε covers, in one file
//   README.md            a model card
// All of it is made of the events, the recipe, the ledger's rows and the model's files, and of the
// training file's hash where the run is not private: of a private run nothing depends on the
// training records but by way of the noised parameters.
base::Status WriteRunReport(const std::filesystem::path& folder, const FinishedRun& run);

}  // namespace cloister::trainer
