#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cloister::federation::worker {

// Reads the fields of one JSON object of another process, strictly: each named field once, of its
// kind and in its range; Finish() fails for any field that is missing, wrong or was not asked for.
// A getter that fails gives a zero value and is remembered, so that the caller reads straight on.
class JsonFields {
 public:
  // `what` names the message in errors.
  JsonFields(const nlohmann::json& object, std::string what);

  std::string Text(const std::string& key, std::size_t longest);
  std::int64_t Integer(const std::string& key, std::int64_t least, std::int64_t most);
  // Finite and in [least, most].
  double Number(const std::string& key, double least, double most);
  // As Number, with null for infinity.
  double NumberOrInfinity(const std::string& key, double least);
  nlohmann::json Object(const std::string& key);
  nlohmann::json Array(const std::string& key, std::size_t most);
  void Type(std::string_view type);  // the field "type" has this value

  // kDataLoss naming the message and its first wrong field.
  base::Status Finish() const;

 private:
  const nlohmann::json* Find(const std::string& key);
  void Wrong(const std::string& key, const std::string& rule);

  const nlohmann::json& object_;
  std::string what_;
  std::vector<std::string> asked_;
  std::string wrong_;
};

}  // namespace cloister::federation::worker
