#include "model/config/json_reader.h"

#include <limits>
#include <utility>

#include "base/file.h"
#include "base/json.h"

namespace cloister::model {
namespace {

using base::Code;

const nlohmann::json* Find(const nlohmann::json& object, const std::string& name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

tl::unexpected<base::Error> WrongType(const std::string& name, const char* wanted) {
  return base::Fail(Code::kDataLoss, "field " + name + " must be " + wanted);
}

template <typename T>
base::Result<T> Require(base::Result<std::optional<T>> value, const std::string& name) {
  if (!value) return base::Forward(std::move(value));
  if (!*value) return base::Fail(Code::kDataLoss, "field " + name + " is missing");
  return std::move(**value);
}

}  // namespace

base::Result<std::optional<std::int64_t>> OptionalInteger(const nlohmann::json& object,
                                                          const std::string& name) {
  const nlohmann::json* value = Find(object, name);
  if (value == nullptr) return std::optional<std::int64_t>();
  const bool fits = value->is_number_integer() &&
                    (!value->is_number_unsigned() ||
                     value->get<std::uint64_t>() <=
                         static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()));
  if (!fits) return WrongType(name, "an integer");
  return std::optional(value->get<std::int64_t>());
}

base::Result<std::optional<double>> OptionalNumber(const nlohmann::json& object,
                                                   const std::string& name) {
  const nlohmann::json* value = Find(object, name);
  if (value == nullptr) return std::optional<double>();
  if (!value->is_number()) return WrongType(name, "a number");
  return std::optional(value->get<double>());
}

base::Result<std::optional<bool>> OptionalBool(const nlohmann::json& object,
                                               const std::string& name) {
  const nlohmann::json* value = Find(object, name);
  if (value == nullptr) return std::optional<bool>();
  if (!value->is_boolean()) return WrongType(name, "true or false");
  return std::optional(value->get<bool>());
}

base::Result<std::optional<std::string>> OptionalString(const nlohmann::json& object,
                                                        const std::string& name) {
  const nlohmann::json* value = Find(object, name);
  if (value == nullptr) return std::optional<std::string>();
  if (!value->is_string()) return WrongType(name, "a string");
  return std::optional(value->get<std::string>());
}

base::Result<std::int64_t> RequiredInteger(const nlohmann::json& object, const std::string& name) {
  return Require(OptionalInteger(object, name), name);
}

base::Result<double> RequiredNumber(const nlohmann::json& object, const std::string& name) {
  return Require(OptionalNumber(object, name), name);
}

base::Result<std::string> RequiredString(const nlohmann::json& object, const std::string& name) {
  return Require(OptionalString(object, name), name);
}

base::Result<nlohmann::json> ReadJsonObject(const std::filesystem::path& path) {
  CLOISTER_ASSIGN_OR_RETURN(const std::string text, base::ReadRegularFile(path));
  nlohmann::json value = base::ParseJson(text);
  if (!value.is_object()) {
    return base::Fail(Code::kDataLoss,
                      path.string() + " is no JSON object: it is damaged or another kind of file");
  }
  return value;
}

}  // namespace cloister::model
