#include "trainer/report/step_report.h"

#include <cstdio>
#include <utility>

#include "base/log.h"
#include "base/memory.h"
#include "trainer/run/fixed.h"

namespace cloister::trainer {
namespace {

using nlohmann::ordered_json;

}  // namespace

std::string PaceText(double tokens_per_second) {
  std::string text = Fixed(tokens_per_second, tokens_per_second < 10 ? 1 : 0) + " tokens/s";
  if (const auto bytes = base::ResidentMemory()) {
    text += ", " + Fixed(static_cast<double>(*bytes) / (1 << 30), 1) + " GiB";
  }
  return text;
}

StepReport::StepReport(const Recipe& recipe, EventLog& log, std::int64_t done, std::int64_t steps)
    : recipe_(recipe),
      log_(log),
      steps_(steps),
      progress_("training", static_cast<std::uint64_t>(steps), "steps",
                recipe.privacy ? base::Timing::kHidden : base::Timing::kShown,
                static_cast<std::uint64_t>(done)),
      start_(Clock::now()) {}

double StepReport::Rate(double tokens) const {
  return tokens / std::chrono::duration<double>(Clock::now() - start_).count();
}

void StepReport::Show(std::int64_t step, const std::string& detail, const std::string& uncovered) {
  progress_.Update(static_cast<std::uint64_t>(step), detail, uncovered);
  if (step == steps_) progress_.Finish(detail, uncovered);
}

void StepReport::EndPlain(std::int64_t step, const StepTotals& totals) {
  const double loss = totals.loss, rate = Rate(static_cast<double>(totals.tokens));
  log_.Emit({{"event", "step"}, {"step", step}, {"epsilon", nullptr}, {"loss", loss}},
            {{"tokens_per_second", rate}});
  Show(step, "loss " + Fixed(loss, 3) + ", " + PaceText(rate), {});
  unanswered_ += totals.unanswered;
  if (step == steps_ && unanswered_ > 0) {
    base::LogWarning(std::to_string(unanswered_) +
                     " times a record was drawn that trains nothing: it has no answer within "
                     "data.max_tokens; raise it, or choose another data.truncation");
  }
}

void StepReport::EndPrivate(std::int64_t step, const Private& figures) {
  const double rate = Rate(figures.nominal_tokens);
  const std::string relation(dp::NeighboursName(recipe_.privacy->neighbours));
  ordered_json event = {{"event", "step"}, {"step", step}, {"epsilon", figures.epsilon}};
  if (figures.of_whole_run) event["neighbours"] = relation;
  if (recipe_.privacy->adaptive) event["clip_norm"] = figures.clip_norm;
  log_.Emit(std::move(event), {{"tokens_per_second", rate}});
  std::string detail = "ε " + Fixed(figures.epsilon, 2);
  if (figures.of_whole_run) detail += " (" + relation + ", of the whole run)";
  Show(step, detail, "loss " + Fixed(figures.uncovered_loss, 3) + ", " + PaceText(rate));
}

}  // namespace cloister::trainer
