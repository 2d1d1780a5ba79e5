#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/progress.h"
#include "trainer/distributed/shared_loss.h"
#include "trainer/recipe/recipe.h"
#include "trainer/report/event_log.h"

namespace cloister::trainer {

// What a step tells: its event, and a line of progress with loss, ε so far, tokens a second, time
// left and memory. Under DP what depends on the drawn records (the training loss, times, memory)
// stands on that line alone, on a terminal alone, marked as not covered by ε; the tokens are those
// of the nominal batch. Not thread-safe.
class StepReport {
 public:
  // Of the steps after `done`, of `steps` in all.
  StepReport(const Recipe& recipe, EventLog& log, std::int64_t done, std::int64_t steps);

  void Begin() { start_ = Clock::now(); }  // of a step

  // The last step says too how many examples trained nothing, if any did.
  void EndPlain(std::int64_t step, const StepTotals& totals);

  struct Private {
    double epsilon = 0;
    bool of_whole_run = false;  // whether the first step has paid for all
    double clip_norm = 0;       // told where it is adaptive
    double nominal_tokens = 0;  // of a batch
    double uncovered_loss = 0;  // of the drawn records
  };
  void EndPrivate(std::int64_t step, const Private& figures);

 private:
  using Clock = std::chrono::steady_clock;
  double Rate(double tokens) const;
  void Show(std::int64_t step, const std::string& detail, const std::string& uncovered);

  const Recipe& recipe_;
  EventLog& log_;
  std::int64_t steps_;
  base::Progress progress_;
  Clock::time_point start_;
  std::int64_t unanswered_ = 0;  // so far
};

// Tokens a second and resident memory, as the line of progress tells them: "812 tokens/s, 1.3 GiB".
std::string PaceText(double tokens_per_second);

}  // namespace cloister::trainer
