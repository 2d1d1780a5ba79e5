#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace cloister::base {

// Whether brackets stand more than `depth` deep in a JSON text, whatever else is wrong with it.
bool IsNestedDeeper(std::string_view json, int depth);

// A JSON text from outside: discarded (Json::is_discarded) where it is malformed or nested more
// than `max_depth` deep. What copies, compares or prints a value calls itself for each level.
template <typename Json = nlohmann::json>
Json ParseJson(std::string_view text, int max_depth = 128) {
  if (IsNestedDeeper(text, max_depth)) return Json(nlohmann::detail::value_t::discarded);
  return Json::parse(text, /*cb=*/nullptr, /*allow_exceptions=*/false);
}

}  // namespace cloister::base
