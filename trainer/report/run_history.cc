#include "trainer/report/run_history.h"

#include <cmath>
#include <sstream>

namespace cloister::trainer {
namespace {

using nlohmann::ordered_json;

constexpr const char* kJudged = "evaluation";

void Add(std::vector<Point>& curve, std::int64_t step, const ordered_json& event,
         const char* name) {
  const auto found = event.find(name);
  if (found == event.end() || !found->is_number()) return;
  const double value = found->get<double>();
  if (std::isfinite(value)) curve.push_back({step, value});
}

void AddStep(const ordered_json& event, std::int64_t step, const Recipe& recipe,
             RunHistory& history) {
  Add(history.loss, step, event, "loss");
  Add(history.tokens_per_second, step, event, "tokens_per_second");
  Add(history.epsilon, step, event, "epsilon");
  Add(history.clip_norm, step, event, "clip_norm");
  const double share = recipe.schedule.ShareAt(step, recipe.training.steps);
  history.learning_rate.push_back({step, recipe.optimizer.learning_rate * share});
}

}  // namespace

RunHistory ReadHistory(const std::string& events, const Recipe& recipe) {
  RunHistory history;
  std::istringstream lines(events);
  std::int64_t step = 0;  // that the run stands after
  for (std::string line; std::getline(lines, line);) {
    const ordered_json event = ordered_json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!event.is_object()) continue;
    const std::string kind = event.value("event", "");
    if (kind == "step") {
      step = event.value("step", step);
      AddStep(event, step, recipe, history);
    } else if (kind == "resumed") {
      history.lost += event.value("lost", std::int64_t{0});
      step = event.value("step", step) + event.value("lost", std::int64_t{0});
    } else if (kind == "eval") {
      Add(history.held_out_loss, step, event, "loss");
    } else if (kind == kJudged) {
      ordered_json figures = event;
      figures.erase("event");
      figures.erase("step");
      history.judged.push_back({event.value("step", step), std::move(figures)});
    }
  }
  return history;
}

ordered_json JudgedEvent(std::int64_t step, const ordered_json& figures) {
  ordered_json event = {{"event", kJudged}, {"step", step}};
  event.update(figures);
  return event;
}

bool WasJudgedAt(const std::string& events, std::int64_t step) {
  ordered_json start = {{"event", kJudged}, {"step", step}};
  std::string text = start.dump();
  text.back() = ',';  // figures follow
  return events.find(text) != std::string::npos;
}

}  // namespace cloister::trainer
