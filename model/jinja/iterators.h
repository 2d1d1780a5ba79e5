#pragma once

#include <optional>
#include <vector>

#include "model/jinja/runtime.h"

namespace cloister::model::jinja {

// A pass over items, once. Also the value that lazy filters give.
class Iterator : public Object {
 public:
  Iterator(Heap& heap, int depth) : Object(heap, Kind::kIterator, sizeof(Iterator) + 48, depth) {}
  // The next item; empty at the end and from then on.
  virtual base::Result<std::optional<Value>> Next(Runtime& runtime) = 0;
};

// A new pass over `value`, or `value` itself where it is an iterator: characters of a string, keys
// of a dict, nothing of an undefined value. kFailedPrecondition where it cannot be iterated.
base::Result<Ref<Iterator>> Iterate(Runtime& runtime, const Value& value);
bool IsIterable(const Value& value);
// From the last item to the first; only of what has a length. Fails otherwise.
base::Result<Ref<Iterator>> IterateBackwards(Runtime& runtime, const Value& value);

// Every item that `value` has or, being an iterator, still has.
base::Result<std::vector<Value>> Collect(Runtime& runtime, const Value& value);

// Python's len(value).
base::Result<std::int64_t> Length(const Value& value);

// Python's `value in container`.
base::Result<bool> Contains(Runtime& runtime, const Value& container, const Value& value);

}  // namespace cloister::model::jinja
