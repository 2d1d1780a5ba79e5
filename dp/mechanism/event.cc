#include "dp/mechanism/event.h"

#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "base/check.h"

namespace cloister::dp {
namespace {

constexpr std::int64_t kMostSteps = 1'000'000'000'000;
constexpr double kLargestMultiplier = 1e12;
constexpr double kLeastMultiplier = 1e-12;  // below, one release tells everything
constexpr double kLargestSensitivity = 1e9;
constexpr std::array<std::pair<Mechanism, std::string_view>, 3> kMechanisms = {{
    {Mechanism::kGaussian, "gaussian"},
    {Mechanism::kLaplace, "laplace"},
    {Mechanism::kDiscreteGaussian, "discrete_gaussian"},
}};

tl::unexpected<base::Error> Bad(const std::string& field, const std::string& rule) {
  return base::Fail(base::Code::kInvalidArgument, "privacy event, " + field + ": " + rule);
}

base::Result<double> NumberOf(const nlohmann::json& json, const char* name) {
  const auto found = json.find(name);
  if (found == json.end() || !found->is_number()) return Bad(name, "it must be a number");
  return found->get<double>();
}

base::Result<Mechanism> MechanismOf(const nlohmann::json& json) {
  const auto found = json.find("mechanism");
  for (const auto& [mechanism, name] : kMechanisms) {
    if (found != json.end() && *found == name) return mechanism;
  }
  return Bad("mechanism", "it must be \"gaussian\", \"laplace\" or \"discrete_gaussian\"");
}

}  // namespace

std::string_view MechanismName(Mechanism mechanism) {
  for (const auto& [known, name] : kMechanisms) {
    if (known == mechanism) return name;
  }
  base::CheckFailed(__FILE__, __LINE__, "a mechanism without a name");
}

double Sigma(const Event& event) { return event.noise_multiplier * event.sensitivity; }

base::Status Validate(const Event& event) {
  // Written so that a NaN fails.
  if (!(event.noise_multiplier >= kLeastMultiplier &&
        event.noise_multiplier <= kLargestMultiplier)) {
    return Bad("noise_multiplier", "give a number from 1e-12 to 1e12");
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
  const bool discrete = event.mechanism == Mechanism::kDiscreteGaussian;
  if (!discrete && event.sensitivity != 1) {
    return Bad("sensitivity", "only a discrete Gaussian has one beside its noise_multiplier");
  }
  if (!(event.sensitivity >= 1 && event.sensitivity <= kLargestSensitivity) ||
      event.sensitivity != std::floor(event.sensitivity)) {
    return Bad("sensitivity", "give a whole number from 1 to 1e9");
  }
  return {};
}

nlohmann::json ToJson(const Event& event) {
  nlohmann::json json = {{"mechanism", MechanismName(event.mechanism)},
                         {"noise_multiplier", event.noise_multiplier},
                         {"sampling_rate", event.sampling_rate},
                         {"steps", event.steps},
                         {"neighbours", NeighboursName(event.neighbours)},
                         {"delta_slack", event.delta_slack}};
  if (event.mechanism == Mechanism::kDiscreteGaussian) json["sensitivity"] = event.sensitivity;
  return json;
}

base::Result<Event> EventFromJson(const nlohmann::json& json) {
  constexpr std::size_t kFields = 6;
  if (!json.is_object()) return Bad("JSON", "it must be an object");
  Event event;
  CLOISTER_ASSIGN_OR_RETURN(event.mechanism, MechanismOf(json));
  const bool discrete = event.mechanism == Mechanism::kDiscreteGaussian;
  if (json.size() != kFields + (discrete ? 1 : 0)) {
    return Bad("JSON",
               "it must have mechanism, noise_multiplier, sampling_rate, steps, neighbours, "
               "delta_slack and, for a discrete Gaussian, sensitivity, and nothing else");
  }
  CLOISTER_ASSIGN_OR_RETURN(event.noise_multiplier, NumberOf(json, "noise_multiplier"));
  CLOISTER_ASSIGN_OR_RETURN(event.sampling_rate, NumberOf(json, "sampling_rate"));
  CLOISTER_ASSIGN_OR_RETURN(event.delta_slack, NumberOf(json, "delta_slack"));
  if (discrete) {
    CLOISTER_ASSIGN_OR_RETURN(event.sensitivity, NumberOf(json, "sensitivity"));
  }
  const auto steps = json.find("steps");
  // An unsigned value over int64's range would wrap when converted.
  if (steps == json.end() || !steps->is_number_integer() ||
      (steps->is_number_unsigned() && steps->get<std::uint64_t>() > std::uint64_t{kMostSteps})) {
    return Bad("steps", "it must be a whole number from 1 to 1e12");
  }
  event.steps = steps->get<std::int64_t>();
  const auto neighbours = json.find("neighbours");
  if (neighbours == json.end() || !neighbours->is_string()) {
    return Bad("neighbours", "it must be a string");
  }
  CLOISTER_ASSIGN_OR_RETURN(event.neighbours, ParseNeighbours(neighbours->get<std::string>()));
  CLOISTER_RETURN_IF_ERROR(Validate(event));
  return event;
}

}  // namespace cloister::dp
