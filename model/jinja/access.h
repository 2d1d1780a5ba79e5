#pragma once

#include <string_view>

#include "model/jinja/operation.h"

namespace cloister::model::jinja {

// `object.name`: an attribute or method, else the item of that key, else an undefined value. A
// method that would change a list or a dict is undefined, as in Jinja's immutable sandbox.
// kFailedPrecondition on an undefined object.
base::Result<Value> GetAttribute(Runtime& runtime, const Value& object, std::string_view name);

// `object[key]`: the item, else for a string the attribute of that name, else an undefined value.
base::Result<Value> GetItem(Runtime& runtime, const Value& object, const Value& key);

// `object[start:stop:step]`; kNone for what is left out.
base::Result<Value> GetSlice(Runtime& runtime, const Value& object, const Value& start,
                             const Value& stop, const Value& step);

// The attribute alone, without falling back on items; kMissing where there is none.
base::Result<Value> FindAttribute(Runtime& runtime, const Value& object, std::string_view name);

// The method that `object.name` is, to be called on `object` at once; null for anything else.
Operation FindMethod(const Value& object, std::string_view name);

}  // namespace cloister::model::jinja
