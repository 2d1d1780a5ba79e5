#pragma once

#include "model/jinja/methods.h"

namespace cloister::model::jinja {

// Jinja's filters by group. What they do and which arguments they take is Jinja's own
// documentation: https://jinja.palletsprojects.com/en/stable/templates/#list-of-builtin-filters
Operations TextFilters();
Operations MarkupFilters();
Operations ItemsFilters();
Operations OrderingFilters();  // sort, min, unique, …
Operations SelectionFilters();
Operations NumberFilters();
Operations ValueFilters();  // attr, default, tojson, …

}  // namespace cloister::model::jinja
