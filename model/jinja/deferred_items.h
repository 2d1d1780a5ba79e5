#pragma once

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "model/jinja/iterators.h"
#include "model/jinja/operation.h"

namespace cloister::model::jinja {

// What a filter makes of a value with one argument or two.
using Make = base::Result<std::vector<Value>> (*)(Runtime& runtime, const Value& value,
                                                  const Value& first, const Value& second);

// The items of a filter that is a generator in Jinja: they are made when the first is asked for,
// and what is wrong with the value is found out then.
class Deferred final : public Iterator {
 public:
  Deferred(Heap& heap, Make make, Value value, Value first, Value second)
      : Iterator(heap, std::max({value.depth(), first.depth(), second.depth()}) + 1),
        make_(make),
        value_(std::move(value)),
        first_(std::move(first)),
        second_(std::move(second)) {}

  base::Result<std::optional<Value>> Next(Runtime& runtime) override {
    if (!items_) {
      const Arguments arguments{{first_, second_}, {}};
      CLOISTER_RETURN_IF_ERROR(Pay(runtime.heap(), value_, arguments, Price::kLookThrough));
      CLOISTER_ASSIGN_OR_RETURN(std::vector<Value> items, make_(runtime, value_, first_, second_));
      CLOISTER_ASSIGN_OR_RETURN(items_,
                                Iterate(runtime, MakeList(runtime.heap(), std::move(items))));
    }
    return items_->Next(runtime);
  }

 private:
  Make make_;
  Value value_, first_, second_;
  Ref<Iterator> items_;
};

}  // namespace cloister::model::jinja
