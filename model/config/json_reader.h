#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/result.h"

namespace cloister::model {

// Typed reads of a JSON object's fields. Absent and null are the same. A field of another type is
// kDataLoss naming it.
base::Result<std::optional<std::int64_t>> OptionalInteger(const nlohmann::json& object,
                                                          const std::string& name);
base::Result<std::optional<double>> OptionalNumber(const nlohmann::json& object,
                                                   const std::string& name);
base::Result<std::optional<bool>> OptionalBool(const nlohmann::json& object,
                                               const std::string& name);
base::Result<std::optional<std::string>> OptionalString(const nlohmann::json& object,
                                                        const std::string& name);

// The same for fields that must be there.
base::Result<std::int64_t> RequiredInteger(const nlohmann::json& object, const std::string& name);
base::Result<double> RequiredNumber(const nlohmann::json& object, const std::string& name);
base::Result<std::string> RequiredString(const nlohmann::json& object, const std::string& name);

// A file that holds one JSON object. kNotFound when absent; kDataLoss, naming it, otherwise.
base::Result<nlohmann::json> ReadJsonObject(const std::filesystem::path& path);

}  // namespace cloister::model
