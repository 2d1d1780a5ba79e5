#include "dp/accounting/accounting_input.h"

#include <cmath>
#include <string>

namespace cloister::dp {

base::Status ValidateDelta(double delta) {
  if (delta > 0 && delta < 1) return {};
  return base::Fail(base::Code::kInvalidArgument,
                    "delta, accounting: give a number between 0 and 1, both excluded");
}

base::Status ValidateEpsilon(double epsilon) {
  if (epsilon >= 0 && epsilon <= 1e100) return {};
  return base::Fail(base::Code::kInvalidArgument,
                    "epsilon, accounting: give a number from 0 to 1e100");
}

base::Status ValidateEvents(std::span<const Event> events) {
  for (const Event& event : events) {
    CLOISTER_RETURN_IF_ERROR(Validate(event));
    if (event.neighbours != events.front().neighbours) {
      return base::Fail(base::Code::kInvalidArgument,
                        "events of neighbour relations " +
                            std::string(NeighboursName(events.front().neighbours)) + " and " +
                            std::string(NeighboursName(event.neighbours)) +
                            ", composition: account for each relation alone");
    }
  }
  return {};
}

double TotalSlack(std::span<const Event> events) {
  double slack = 0;
  for (const Event& event : events) slack += event.delta_slack;
  return slack;
}

}  // namespace cloister::dp
