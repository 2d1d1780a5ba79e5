#include "federation/worker/json_fields.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace cloister::federation::worker {

JsonFields::JsonFields(const nlohmann::json& object, std::string what)
    : object_(object), what_(std::move(what)) {
  if (!object_.is_object()) wrong_ = "is no JSON object";
}

const nlohmann::json* JsonFields::Find(const std::string& key) {
  asked_.push_back(key);
  if (!object_.is_object()) return nullptr;
  const auto found = object_.find(key);
  if (found != object_.end()) return &*found;
  Wrong(key, "is missing");
  return nullptr;
}

void JsonFields::Wrong(const std::string& key, const std::string& rule) {
  if (wrong_.empty()) wrong_ = "field '" + key + "' " + rule;
}

std::string JsonFields::Text(const std::string& key, std::size_t longest) {
  const nlohmann::json* value = Find(key);
  if (value == nullptr) return {};
  if (!value->is_string() || value->get_ref<const std::string&>().size() > longest) {
    Wrong(key, "is no text of at most " + std::to_string(longest) + " bytes");
    return {};
  }
  return value->get<std::string>();
}

std::int64_t JsonFields::Integer(const std::string& key, std::int64_t least, std::int64_t most) {
  const nlohmann::json* value = Find(key);
  if (value == nullptr) return 0;
  const bool fits = value->is_number_integer() &&
                    (!value->is_number_unsigned() ||
                     value->get<std::uint64_t>() <=
                         static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) &&
                    value->get<std::int64_t>() >= least && value->get<std::int64_t>() <= most;
  if (fits) return value->get<std::int64_t>();
  Wrong(key, "is no integer from " + std::to_string(least) + " to " + std::to_string(most));
  return 0;
}

double JsonFields::Number(const std::string& key, double least, double most) {
  const nlohmann::json* value = Find(key);
  if (value == nullptr) return 0;
  const double number = value->is_number() ? value->get<double>() : std::nan("");
  if (std::isfinite(number) && number >= least && number <= most) return number;
  Wrong(key,
        "is no number from " + nlohmann::json(least).dump() + " to " + nlohmann::json(most).dump());
  return 0;
}

double JsonFields::NumberOrInfinity(const std::string& key, double least) {
  if (object_.is_object() && object_.contains(key) && object_.at(key).is_null()) {
    asked_.push_back(key);
    return std::numeric_limits<double>::infinity();
  }
  return Number(key, least, std::numeric_limits<double>::max());
}

nlohmann::json JsonFields::Object(const std::string& key) {
  const nlohmann::json* value = Find(key);
  if (value == nullptr) return nlohmann::json::object();
  if (!value->is_object()) {
    Wrong(key, "is no object");
    return nlohmann::json::object();
  }
  return *value;
}

nlohmann::json JsonFields::Array(const std::string& key, std::size_t most) {
  const nlohmann::json* value = Find(key);
  if (value == nullptr) return nlohmann::json::array();
  if (!value->is_array() || value->size() > most) {
    Wrong(key, "is no list of at most " + std::to_string(most));
    return nlohmann::json::array();
  }
  return *value;
}

void JsonFields::Type(std::string_view type) {
  const nlohmann::json* value = Find("type");
  if (value != nullptr && *value != type) Wrong("type", "is not '" + std::string(type) + "'");
}

base::Status JsonFields::Finish() const {
  std::string wrong = wrong_;
  if (wrong.empty()) {
    for (const auto& item : object_.items()) {
      if (std::find(asked_.begin(), asked_.end(), item.key()) != asked_.end()) continue;
      wrong = "field '" + item.key().substr(0, 64) + "' is unknown";
      break;
    }
  }
  if (wrong.empty()) return {};
  return base::Fail(base::Code::kDataLoss,
                    what_ + ": " + wrong + ": use programs of the same version");
}

}  // namespace cloister::federation::worker
