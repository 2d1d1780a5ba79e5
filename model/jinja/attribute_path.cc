#include "model/jinja/attribute_path.h"

#include "model/jinja/access.h"
#include "model/jinja/numbers.h"
#include "model/jinja/operation.h"
#include "model/jinja/text_search.h"
#include "model/jinja/unicode.h"

namespace cloister::model::jinja {
namespace {

// A view, then a value and a string, in vectors that grow.
constexpr std::size_t kBytesAPart = 2 * (sizeof(std::string_view) + sizeof(Value)) + sizeof(String);

}  // namespace

base::Result<AttributePath> AttributePath::Make(Heap& heap, const Value& attribute) {
  AttributePath path;
  if (attribute.missing() || attribute.is(Kind::kNone)) return path;
  if (!attribute.is(Kind::kString)) {
    path.parts_.push_back(attribute);
    return path;
  }
  heap.SpendLook(Text(attribute).size());
  CLOISTER_RETURN_IF_ERROR(heap.Check());
  CLOISTER_RETURN_IF_ERROR(heap.Admit((CountOf(Text(attribute), ".") + 1) * kBytesAPart));
  for (const std::string_view part : Split(Text(attribute), ".", {})) {
    const bool digits =
        !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
    const auto number = digits ? ParseInteger(part, 10) : std::nullopt;
    path.parts_.push_back(number ? Value::Int(*number) : MakeString(heap, std::string(part)));
  }
  return path;
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

base::Result<Value> WithoutCase(Heap& heap, const Value& value) {
  if (!value.is(Kind::kString)) return value;
  heap.Spend(1 + StepsThrough(value, Price::kProperties));
  CLOISTER_RETURN_IF_ERROR(heap.Check());
  CLOISTER_RETURN_IF_ERROR(heap.Admit(Text(value).size()));
  return MakeString(heap, Lower(Text(value)));
}

}  // namespace cloister::model::jinja
