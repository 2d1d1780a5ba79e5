#pragma once

#include <nlohmann/json.hpp>

#include "model/jinja/objects.h"

namespace cloister::model::jinja {

// A JSON value as a value of the template. Keys keep their order. kOutOfRange where it lies too
// deep or is too large for the heap.
base::Result<Value> FromJson(Heap& heap, const nlohmann::ordered_json& json);

}  // namespace cloister::model::jinja
