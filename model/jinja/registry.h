#pragma once

#include <string_view>
#include <vector>

#include "model/jinja/operation.h"

namespace cloister::model::jinja {

// Jinja's filters and tests, and transformers' own tojson; null for a name that there is not. A few
// that no chat template has use of (random, urlize, pprint) are known and fail when they are run.
Operation FindFilter(std::string_view name);
TestOperation FindTest(std::string_view name);
// Every name that those know.
std::vector<std::string_view> FilterNames();
std::vector<std::string_view> TestNames();

// The global functions: range, dict, namespace, cycler, joiner, raise_exception, strftime_now,
// lipsum. kMissing for any other name.
Value MakeGlobal(Heap& heap, std::string_view name);

}  // namespace cloister::model::jinja
