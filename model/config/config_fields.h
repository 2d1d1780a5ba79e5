#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cloister::model {

// Reads of a config.json object that remember which fields were asked for, so that what nobody
// reads can be refused instead of guessed at. Absent and null are the same. A field of another type
// is kDataLoss naming it. The object must outlive this. Not thread-safe.
class ConfigFields {
 public:
  explicit ConfigFields(const nlohmann::json& object) : object_(object) {}

  base::Result<std::optional<std::int64_t>> Integer(const std::string& name);
  base::Result<std::optional<double>> Number(const std::string& name);
  base::Result<std::optional<bool>> Bool(const std::string& name);
  base::Result<std::optional<std::string>> String(const std::string& name);
  base::Result<std::optional<std::vector<std::string>>> Strings(const std::string& name);

  base::Result<std::int64_t> RequiredInteger(const std::string& name);
  // The value that spellings of one field agree on; kDataLoss when two of them differ.
  base::Result<std::optional<std::int64_t>> IntegerOf(std::span<const std::string_view> spellings);

  bool Has(const std::string& name) const { return object_.contains(name); }  // null or not
  // The field as it is, null when absent.
  nlohmann::json Value(const std::string& name);
  // Marks fields as known to change nothing.
  void Ignore(std::span<const std::string_view> names);
  void Ignore(std::string_view name) { known_.insert(std::string(name)); }

  // kUnimplemented, naming the first field that was neither read nor ignored. Fields that are null
  // say nothing. `where` stands before the names of a nested object's fields.
  base::Status RefuseUnknown(const std::string& where = "") const;

 private:
  const nlohmann::json& object_;
  std::set<std::string> known_;
};

}  // namespace cloister::model
