#include "model/jinja/attribute_path.h"

#include "model/jinja/access.h"
#include "model/jinja/numbers.h"
#include "model/jinja/text_search.h"
#include "model/jinja/unicode.h"

namespace cloister::model::jinja {

AttributePath::AttributePath(Heap& heap, const Value& attribute) {
  if (attribute.missing() || attribute.is(Kind::kNone)) return;
  if (!attribute.is(Kind::kString)) {
    parts_.push_back(attribute);
    return;
  }
  for (const std::string_view part : Split(Text(attribute), ".", {})) {
    const bool digits =
        !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
    const auto number = digits ? ParseInteger(part, 10) : std::nullopt;
    parts_.push_back(number ? Value::Int(*number) : MakeString(heap, std::string(part)));
  }
}

base::Result<Value> AttributePath::Of(Runtime& runtime, const Value& item,
                                      const Value& otherwise) const {
  Value value = item;
  for (const Value& part : parts_) {
    CLOISTER_ASSIGN_OR_RETURN(value, GetItem(runtime, value, part));
    const bool replaced = !otherwise.missing() && !otherwise.is(Kind::kNone);
    if (replaced && value.is(Kind::kUndefined)) value = otherwise;
  }
  return value;
}

Value WithoutCase(Heap& heap, const Value& value) {
  return value.is(Kind::kString) ? MakeString(heap, Lower(Text(value))) : value;
}

}  // namespace cloister::model::jinja
