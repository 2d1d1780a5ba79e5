#pragma once

#include <functional>
#include <vector>

#include "model/jinja/runtime.h"

namespace cloister::model::jinja {

// Puts `items` in the order of `keys`, a key an item, as Python's sorted does: equal ones stay in
// the order in which they came, reversed or not. The error of keys that have no order.
base::Result<std::vector<Value>> SortedBy(Runtime& runtime, std::vector<Value> items,
                                          const std::vector<Value>& keys, bool reverse);

}  // namespace cloister::model::jinja
