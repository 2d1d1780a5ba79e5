#include "model/config/config_fields.h"

#include <utility>
#include <vector>

#include "model/config/json_reader.h"

namespace cloister::model {
namespace {

using base::Code;

constexpr std::size_t kMaxListed = 1 << 16;

}  // namespace

base::Result<std::optional<std::int64_t>> ConfigFields::Integer(const std::string& name) {
  known_.insert(name);
  return OptionalInteger(object_, name);
}

base::Result<std::optional<double>> ConfigFields::Number(const std::string& name) {
  known_.insert(name);
  return OptionalNumber(object_, name);
}

base::Result<std::optional<bool>> ConfigFields::Bool(const std::string& name) {
  known_.insert(name);
  return OptionalBool(object_, name);
}

base::Result<std::optional<std::string>> ConfigFields::String(const std::string& name) {
  known_.insert(name);
  return OptionalString(object_, name);
}

base::Result<std::optional<std::vector<std::string>>> ConfigFields::Strings(
    const std::string& name) {
  const nlohmann::json value = Value(name);
  if (value.is_null()) return std::optional<std::vector<std::string>>();
  std::vector<std::string> strings;
  bool good = value.is_array() && value.size() <= kMaxListed;
  if (good) {
    for (const nlohmann::json& item : value) {
      good = good && item.is_string();
      if (good) strings.push_back(item.get<std::string>());
    }
  }
  if (!good) return base::Fail(Code::kDataLoss, "field " + name + " must be a list of strings");
  return std::optional(std::move(strings));
}

base::Result<std::int64_t> ConfigFields::RequiredInteger(const std::string& name) {
  known_.insert(name);
  return model::RequiredInteger(object_, name);
}

base::Result<std::optional<std::int64_t>> ConfigFields::IntegerOf(
    std::span<const std::string_view> spellings) {
  std::optional<std::int64_t> agreed;
  std::string first;
  for (const std::string_view spelling : spellings) {
    const std::string name(spelling);
    CLOISTER_ASSIGN_OR_RETURN(const std::optional<std::int64_t> value, Integer(name));
    if (!value) continue;
    if (agreed && *agreed != *value) {
      return base::Fail(Code::kDataLoss, "fields " + first + " and " + name +
                                             " are spellings of one number, but differ: remove "
                                             "the wrong one");
    }
    if (!agreed) first = name;
    agreed = value;
  }
  return agreed;
}

nlohmann::json ConfigFields::Value(const std::string& name) {
  known_.insert(name);
  const auto found = object_.find(name);
  return found == object_.end() ? nlohmann::json() : *found;
}

void ConfigFields::Ignore(std::span<const std::string_view> names) {
  for (const std::string_view name : names) known_.insert(std::string(name));
}

base::Status ConfigFields::RefuseUnknown(const std::string& where) const {
  for (const auto& [name, value] : object_.items()) {
    if (value.is_null() || known_.contains(name)) continue;
    return base::Fail(Code::kUnimplemented,
                      "field " + where + name +
                          " is not known, so what it changes in the network is not either: remove "
                          "it if it changes nothing");
  }
  return {};
}

}  // namespace cloister::model
