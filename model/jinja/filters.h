#pragma once

#include "model/jinja/methods.h"

namespace cloister::model::jinja {

// Jinja's filters by group, null for a name that the group does not have. What they do and which
// arguments they take is Jinja's own documentation:
// https://jinja.palletsprojects.com/en/stable/templates/#list-of-builtin-filters
Operation FindTextFilter(std::string_view name);
Operation FindMarkupFilter(std::string_view name);
Operation FindItemsFilter(std::string_view name);
Operation FindSelectionFilter(std::string_view name);
Operation FindNumberFilter(std::string_view name);
Operation FindValueFilter(std::string_view name);  // attr, default, tojson, …

}  // namespace cloister::model::jinja
