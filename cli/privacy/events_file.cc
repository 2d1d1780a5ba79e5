#include "cli/privacy/events_file.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"

namespace cloister::cli {
namespace {

constexpr std::array kKeys = {"mechanism", "noise_multiplier", "sigma",
                              "scale",     "sensitivity",      "sampling_rate",
                              "steps",     "delta_slack",      "neighbours"};
constexpr std::size_t kLargestFile = std::size_t{1} << 20;
constexpr std::size_t kMostRows = 10'000;
constexpr int kDeepest = 8;

tl::unexpected<base::Error> Bad(const std::string& what, const std::string& mend) {
  return base::Fail(base::Code::kDataLoss, what + ": " + mend);
}

base::Status CheckKeys(const nlohmann::json& row, const std::string& where) {
  for (const auto& item : row.items()) {
    const std::string& key = item.key();
    if (std::find(kKeys.begin(), kKeys.end(), key) == kKeys.end()) {
      return Bad("unknown key '" + key.substr(0, 40) + "', " + where,
                 "a row has mechanism, noise_multiplier or sigma or scale, sensitivity, "
                 "sampling_rate, steps, delta_slack and neighbours");
    }
  }
  return {};
}

base::Result<double> Number(const nlohmann::json& row, const char* key, const std::string& where) {
  const auto found = row.find(key);
  if (found == row.end() || !found->is_number()) {
    return Bad(std::string(key) + " is missing or no number, " + where, "give a number");
  }
  return found->get<double>();
}

base::Result<double> Positive(const nlohmann::json& row, const char* key,
                              const std::string& where) {
  CLOISTER_ASSIGN_OR_RETURN(const double number, Number(row, key, where));
  if (number > 0) return number;
  return Bad(std::string(key) + " is not above 0, " + where, "give a number above 0");
}

base::Result<dp::Mechanism> ReadMechanism(const nlohmann::json& row, const std::string& where) {
  const auto found = row.find("mechanism");
  if (found == row.end() || !found->is_string()) {
    return Bad("mechanism is missing, " + where, "give \"mechanism\": \"gaussian\"");
  }
  const std::string name = found->get<std::string>();
  for (const dp::Mechanism mechanism :
       {dp::Mechanism::kGaussian, dp::Mechanism::kLaplace, dp::Mechanism::kDiscreteGaussian}) {
    if (name == dp::MechanismName(mechanism)) return mechanism;
  }
  return Bad("unknown mechanism '" + name.substr(0, 40) + "', " + where,
             "use gaussian, laplace or discrete_gaussian");
}

// The field that gives the noise. A standard deviation is no scale of a Laplace.
base::Result<std::string> NoiseKey(const nlohmann::json& row, dp::Mechanism mechanism,
                                   const std::string& where) {
  const bool laplace = mechanism == dp::Mechanism::kLaplace;
  std::string given;
  for (const char* const key : {"noise_multiplier", "sigma", "scale"}) {
    if (!row.contains(key)) continue;
    if (!given.empty()) {
      return Bad(given + " and " + key + " are both given, " + where, "leave one of them out");
    }
    given = key;
  }
  if (given.empty()) {
    return Bad("noise_multiplier is missing, " + where,
               laplace ? "give it, or scale and sensitivity" : "give it, or sigma and sensitivity");
  }
  if (laplace && given == "sigma") {
    return Bad("sigma of a laplace row, " + where, "give its scale");
  }
  return given;
}

// A multiplier is noise over sensitivity already; a standard deviation or scale is divided by it.
base::Status ReadNoise(const nlohmann::json& row, const std::string& where, dp::Event& event) {
  double sensitivity = 1;
  if (row.contains("sensitivity")) {
    CLOISTER_ASSIGN_OR_RETURN(sensitivity, Positive(row, "sensitivity", where));
  }
  CLOISTER_ASSIGN_OR_RETURN(const std::string key, NoiseKey(row, event.mechanism, where));
  CLOISTER_ASSIGN_OR_RETURN(const double noise, Positive(row, key.c_str(), where));
  event.noise_multiplier = key == "noise_multiplier" ? noise : noise / sensitivity;
  if (event.mechanism == dp::Mechanism::kDiscreteGaussian) event.sensitivity = sensitivity;
  return {};
}

// Figures of two relations are about different things, so that their rows do not compose.
base::Result<dp::Neighbours> ReadNeighbours(const nlohmann::json& row, const std::string& where,
                                            std::optional<dp::Neighbours> told) {
  const auto found = row.find("neighbours");
  if (found == row.end()) return told.value_or(dp::Neighbours::kAddOrRemoveOne);
  if (!found->is_string()) return Bad("neighbours is no text, " + where, "give \"zero-out\", say");
  auto said = dp::ParseNeighbours(found->get<std::string>());
  if (!said) return Bad(said.error().message, where);
  return said;
}

base::Result<dp::Event> ReadRow(const nlohmann::json& row, std::optional<dp::Neighbours> told,
                                const std::string& where) {
  if (!row.is_object()) return Bad("no JSON object, " + where, "give {\"mechanism\": …}");
  dp::Event event;
  CLOISTER_ASSIGN_OR_RETURN(event.mechanism, ReadMechanism(row, where));
  CLOISTER_RETURN_IF_ERROR(CheckKeys(row, where));
  CLOISTER_ASSIGN_OR_RETURN(event.neighbours, ReadNeighbours(row, where, told));
  CLOISTER_RETURN_IF_ERROR(ReadNoise(row, where, event));
  CLOISTER_ASSIGN_OR_RETURN(event.sampling_rate, Number(row, "sampling_rate", where));
  CLOISTER_ASSIGN_OR_RETURN(const double steps, Number(row, "steps", where));
  if (!(steps >= 1 && steps <= 1e12) || steps != static_cast<double>(std::int64_t(steps))) {
    return Bad("steps is no whole number from 1 to 1e12, " + where,
               "give how often it is released");
  }
  event.steps = static_cast<std::int64_t>(steps);
  if (row.contains("delta_slack")) {
    CLOISTER_ASSIGN_OR_RETURN(event.delta_slack, Number(row, "delta_slack", where));
  }
  if (const base::Status valid = dp::Validate(event); !valid) {
    return Bad(valid.error().message, where);
  }
  return event;
}

// A key that is given twice would silently count once.
base::Result<nlohmann::json> ParseOnce(const std::string& text, const std::filesystem::path& path) {
  std::vector<std::set<std::string>> open;
  std::string twice;
  const auto watch = [&](int, nlohmann::json::parse_event_t event, nlohmann::json& value) {
    using Event = nlohmann::json::parse_event_t;
    if (event == Event::object_start) open.emplace_back();
    if (event == Event::object_end) open.pop_back();
    if (event == Event::key && !open.back().insert(value.get<std::string>()).second) {
      twice = value.get<std::string>();
    }
    return true;
  };
  if (base::IsNestedDeeper(text, kDeepest)) {
    return Bad("nested too deep, " + path.string(), "give a list of flat objects");
  }
  nlohmann::json json = nlohmann::json::parse(text, watch, /*allow_exceptions=*/false);
  if (json.is_discarded()) {
    return Bad("no valid JSON, " + path.string(), "give [{\"mechanism\": \"gaussian\", …}, …]");
  }
  if (!twice.empty()) {
    return Bad(twice.substr(0, 40) + " is given twice in one event, " + path.string(),
               "leave one of them out");
  }
  return json;
}

}  // namespace

base::Result<std::vector<dp::Event>> ReadEvents(const std::filesystem::path& path,
                                                std::optional<dp::Neighbours> told) {
  CLOISTER_ASSIGN_OR_RETURN(const std::string text, base::ReadFile(path, kLargestFile));
  CLOISTER_ASSIGN_OR_RETURN(const nlohmann::json json, ParseOnce(text, path));
  if (!json.is_array() || json.empty() || json.size() > kMostRows) {
    return Bad("no JSON list of 1 to 10000 events, " + path.string(),
               "give [{\"mechanism\": \"gaussian\", …}, …]");
  }
  std::vector<dp::Event> events;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const std::string where = path.string() + ", event " + std::to_string(i + 1);
    CLOISTER_ASSIGN_OR_RETURN(dp::Event event, ReadRow(json[i], told, where));
    const dp::Neighbours expected = told.value_or(i > 0 ? events[0].neighbours : event.neighbours);
    if (event.neighbours != expected) {
      return base::Fail(base::Code::kInvalidArgument,
                        "the event is of neighbours " +
                            std::string(dp::NeighboursName(event.neighbours)) + " and not " +
                            std::string(dp::NeighboursName(expected)) + ", " + where +
                            ": compose events of one relation alone");
    }
    events.push_back(event);
  }
  return events;
}

}  // namespace cloister::cli
