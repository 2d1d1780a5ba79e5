#include "dp/mechanism/event.h"

#include <cmath>
#include <string>

namespace cloister::dp {
namespace {

constexpr std::int64_t kMostSteps = 1'000'000'000'000;
constexpr double kLargestMultiplier = 1e12;

tl::unexpected<base::Error> Bad(const std::string& field, const std::string& rule) {
  return base::Fail(base::Code::kInvalidArgument, "privacy event, " + field + ": " + rule);
}

}  // namespace

base::Status Validate(const Event& event) {
  // Written so that a NaN fails.
  if (!(event.noise_multiplier > 0 && event.noise_multiplier <= kLargestMultiplier)) {
    return Bad("noise_multiplier", "give a number above 0 and at most 1e12");
  }
  if (!(event.sampling_rate > 0 && event.sampling_rate <= 1)) {
    return Bad("sampling_rate", "give a number above 0 and at most 1");
  }
  if (event.steps < 1 || event.steps > kMostSteps) {
    return Bad("steps", "give a whole number from 1 to 1e12");
  }
  if (!(event.delta_slack >= 0 && event.delta_slack < 1)) {
    return Bad("delta_slack", "give a number from 0 to below 1");
  }
  return {};
}

nlohmann::json ToJson(const Event& event) {
  return {{"mechanism", "gaussian"},
          {"noise_multiplier", event.noise_multiplier},
          {"sampling_rate", event.sampling_rate},
          {"steps", event.steps},
          {"neighbours", NeighboursName(event.neighbours)},
          {"delta_slack", event.delta_slack}};
}

base::Result<Event> EventFromJson(const nlohmann::json& json) {
  constexpr std::size_t kFields = 6;
  if (!json.is_object() || json.size() != kFields) {
    return Bad("JSON",
               "it must be an object of mechanism, noise_multiplier, sampling_rate, steps, "
               "neighbours and delta_slack");
  }
  const auto field = [&](const char* name) {
    const auto found = json.find(name);
    return found == json.end() ? nlohmann::json() : *found;
  };
  if (field("mechanism") != "gaussian") return Bad("mechanism", "only \"gaussian\" is known");
  Event event;
  for (const auto& [name, target] : {std::pair{"noise_multiplier", &event.noise_multiplier},
                                     std::pair{"sampling_rate", &event.sampling_rate},
                                     std::pair{"delta_slack", &event.delta_slack}}) {
    const nlohmann::json value = field(name);
    if (!value.is_number()) return Bad(name, "it must be a number");
    *target = value.get<double>();
  }
  const nlohmann::json steps = field("steps");
  // An unsigned value over int64's range would wrap when converted.
  if (!steps.is_number_integer() ||
      (steps.is_number_unsigned() && steps.get<std::uint64_t>() > std::uint64_t{kMostSteps})) {
    return Bad("steps", "it must be a whole number from 1 to 1e12");
  }
  event.steps = steps.get<std::int64_t>();
  const nlohmann::json neighbours = field("neighbours");
  if (!neighbours.is_string()) return Bad("neighbours", "it must be a string");
  CLOISTER_ASSIGN_OR_RETURN(event.neighbours, ParseNeighbours(neighbours.get<std::string>()));
  CLOISTER_RETURN_IF_ERROR(Validate(event));
  return event;
}

}  // namespace cloister::dp
