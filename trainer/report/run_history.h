#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "trainer/recipe/recipe.h"

namespace cloister::trainer {

struct Point {
  std::int64_t step = 0;
  double value = 0;
};

// The curves of a run, from the events that it keeps and from its recipe: nothing else, so that
// whatever is drawn of a private run is what events.jsonl may hold.
struct RunHistory {
  std::vector<Point> loss, tokens_per_second;  // of the training records; empty with privacy
  std::vector<Point> held_out_loss;
  std::vector<Point> epsilon, clip_norm;  // with privacy; the norm where it is adaptive
  std::vector<Point> learning_rate;
  // The figures of the recipe's `evaluation`.
  struct Judged {
    std::int64_t step = 0;
    nlohmann::ordered_json figures;
  };
  std::vector<Judged> judged;
  std::int64_t lost = 0;  // steps that were debited and their results lost
};

// `events`: lines of events.jsonl. Numbers that are not finite are left out.
RunHistory ReadHistory(const std::string& events, const Recipe& recipe);

// The event of what `evaluation` says after `step`, and whether it is among `events`.
nlohmann::ordered_json JudgedEvent(std::int64_t step, const nlohmann::ordered_json& figures);
bool WasJudgedAt(const std::string& events, std::int64_t step);

}  // namespace cloister::trainer
