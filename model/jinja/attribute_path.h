#pragma once

#include <string_view>
#include <vector>

#include "model/jinja/runtime.h"

namespace cloister::model::jinja {

// The argument `attribute` of filters: "name", "a.b.0" or a number, looked up step by step.
class AttributePath {
 public:
  // kMissing and none are the item itself. kOutOfRange for more parts than there is memory for.
  static base::Result<AttributePath> Make(Heap& heap, const Value& attribute);
  bool empty() const { return parts_.empty(); }
  // `otherwise` takes the place of what is undefined, unless it is kMissing or none.
  base::Result<Value> Of(Runtime& runtime, const Value& item, const Value& otherwise = {}) const;

 private:
  std::vector<Value> parts_;
};

// A string in lower case, any other value as it is: how filters compare unless told otherwise.
base::Result<Value> WithoutCase(Heap& heap, const Value& value);

}  // namespace cloister::model::jinja
