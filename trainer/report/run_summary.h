#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "trainer/report/base_model.h"
#include "trainer/report/privacy_statement.h"
#include "trainer/report/run_history.h"
#include "trainer/report/run_report.h"

namespace cloister::trainer {

// What report and model card tell, before either's markup. Texts may be from outside: whoever
// writes them escapes them.
struct RunSummary {
  std::string name;         // the output folder's
  std::string recipe_yaml;  // as resolved
  bool adapter = false;
  std::string method;  // "LoRA adapter, rank 4 on q_proj, v_proj"
  std::int64_t steps = 0;
  std::int64_t planned_steps = 0;
  BaseModel base;
  std::string base_id;    // its repository; else where it was loaded from, as the adapter says too
  std::string data_name;  // the training file's
  // Without privacy SHA-256 of the training file. With privacy a plain hash would let whoever
  // guesses the file confirm the guess, with no noise in the way: then the ledger's name for the
  // units, a hash under a key that only the ledger's holder has.
  std::string data_hash, data_hash_kind;
  std::string data_license;  // empty where the recipe does not say
  RunHistory history;
  std::optional<PrivacyStatement> privacy;
  std::vector<std::string> coverage;  // sentences: what ε covers, and what the figures are of

  // A figure before and after: the held-out loss and those of `evaluation`.
  struct Figure {
    std::string name, key;
    std::string rows;  // how many, where it is known
    double before = 0, after = 0;
  };
  std::vector<Figure> figures;
};

base::Result<RunSummary> Summarize(const FinishedRun& run);

// A number as people read it: four significant digits; ε upwards, so that it is never understated.
std::string Readable(double value);
std::string ReadableEpsilon(double epsilon);
// All digits, so that it reads back as the same number.
std::string Exact(double value);

}  // namespace cloister::trainer
