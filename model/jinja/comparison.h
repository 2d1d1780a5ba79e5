#pragma once

#include "model/jinja/objects.h"

namespace cloister::model::jinja {

// Python's ==. Numbers compare by value whatever their type; lists, tuples and dicts by content.
bool Equal(const Value& left, const Value& right);

// Python's `left < right`, here as -1, 0 or 1. kFailedPrecondition for values that have no order:
// other than numbers, strings, lists with lists, tuples with tuples. NaN is 2: neither.
base::Result<int> Order(const Value& left, const Value& right, std::string_view sign = "<");

// Python's `value in container`, for containers that are not iterators.
base::Result<bool> ContainedIn(const Value& value, const Value& container);

// Python's `is`.
bool Same(const Value& left, const Value& right);

}  // namespace cloister::model::jinja
