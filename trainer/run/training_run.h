#pragma once

#include <filesystem>
#include <functional>
#include <optional>

#include "base/result.h"
#include "trainer/distributed/ranks.h"
#include "trainer/recipe/recipe.h"
#include "trainer/report/event_log.h"
#include "trainer/run/run_probe.h"

namespace cloister::trainer {

// Asked often; true ends the run with kCancelled.
using StopRequest = std::function<bool()>;

// Fine-tunes a LoRA adapter, or a whole model, as `recipe` says. The output folder appears when all
// is done and holds the adapter in PEFT's form, or the model as a Hugging Face folder, with
// recipe.yaml as resolved, events.jsonl, and what a person looks at (trainer/report/run_report.h).
//
// With privacy: the plan is fixed first, the ledger is asked whether the data set can bear it, and
// each step's spend is durable before anything derived from its noise exists. Nothing else that is
// computed from training records reaches the events or the output; the held-out loss is of records
// that the guarantee does not cover, which must not stand among the training records.
//
// A `probe`, if any, takes part in a private run; without privacy it is not asked.
//
// Stopped, it leaves nothing behind but what the ledger has debited and, where the recipe asks for
// them, its checkpoints. `resume`: the folder of checkpoints of an earlier start of the same run,
// which goes on after the newest; without privacy bit for bit as if it had never stopped, with
// privacy after the last step that was debited, with fresh noise. A `probe` does not resume, and is
// of a run of one process.
//
// `ranks`: the run's processes, each of which calls this with the same recipe; null for one alone.
// The first of them tells, writes and has the ledger; the run ends on all of them as on any.
struct RunOptions {
  StopRequest stop;
  RunProbe* probe = nullptr;
  std::optional<std::filesystem::path> resume;
  Ranks* ranks = nullptr;
};
base::Status RunTraining(const Recipe& recipe, const EventSink& sink,
                         const RunOptions& options = {});

}  // namespace cloister::trainer
