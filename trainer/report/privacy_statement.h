#pragma once

#include <string>

#include "base/result.h"
#include "trainer/recipe/recipe.h"
#include "trainer/report/recorded_spend.h"

namespace cloister::trainer {

// The guarantee of a private run, whole: no figure of it says anything without the others.
struct PrivacyStatement {
  double epsilon = 0;  // as the run printed it: of a plan
  double delta = 0;
  std::string accountant;  // whose bound it is: pld, or rdp where that one has none
  std::string unit;
  std::string neighbours;
  std::string mechanism;  // a sentence
  std::string events;     // what --events of the command reads
  std::string command;    // that prints `epsilon`, where the events lie in kEventsFile
};

inline constexpr const char* kEventsFile = "privacy_events.json";

// `recipe` as resolved, with privacy. Errors as dp::CostAtDelta.
base::Result<PrivacyStatement> MakePrivacyStatement(const Recipe& recipe,
                                                    const RecordedSpend& spend);

}  // namespace cloister::trainer
