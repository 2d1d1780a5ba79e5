#include "model/jinja/filters.h"

#include "model/jinja/access.h"
#include "model/jinja/json_text.h"
#include "model/jinja/numbers.h"
#include "model/jinja/registry.h"
#include "model/jinja/text_layout.h"
#include "model/jinja/text_of.h"

namespace cloister::model::jinja {
namespace {

base::Result<Value> Attr(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("attr", {"name"}, 1, arguments));
  if (!bound[0].is(Kind::kString)) return Fault("attr() needs the name of an attribute");
  const std::string& name = Text(bound[0]);
  CLOISTER_ASSIGN_OR_RETURN(Value attribute, FindAttribute(runtime, value, name));
  return attribute.missing() ? UndefinedAttribute(runtime.heap(), value, name) : attribute;
}

base::Result<Value> Default(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound,
                            Bind("default", {"default_value", "boolean"}, 0, arguments));
  const bool replaced = value.is(Kind::kUndefined) || (Truth(bound[1]) && !Truth(value));
  if (!replaced) return value;
  return bound[0].missing() ? MakeString(runtime.heap(), "") : bound[0];
}

base::Result<Value> StringOf(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_RETURN_IF_ERROR(Bind("string", {}, 0, arguments));
  if (value.is(Kind::kString)) return value;
  CLOISTER_ASSIGN_OR_RETURN(std::string text, TextOf(value));
  return MakeString(runtime.heap(), std::move(text));
}

// json.dumps' indent: a number of spaces, or the text itself.
base::Result<std::optional<std::string>> Indent(Heap& heap, const Value& indent) {
  if (indent.missing() || indent.is(Kind::kNone)) return std::optional<std::string>();
  if (indent.is(Kind::kString)) return std::optional(Text(indent));
  CLOISTER_ASSIGN_OR_RETURN(const std::int64_t width, AsInteger(indent));
  CLOISTER_ASSIGN_OR_RETURN(std::string spaces, Repeated(heap, " ", width));
  return std::optional(std::move(spaces));
}

base::Result<Value> ToJson(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(
      const auto bound,
      Bind("tojson", {"ensure_ascii", "indent", "separators", "sort_keys"}, 0, arguments));
  JsonStyle style;
  style.ensure_ascii = Truth(bound[0]);
  CLOISTER_ASSIGN_OR_RETURN(style.indent, Indent(runtime.heap(), bound[1]));
  if (style.indent) style.item_separator = ",";
  if (!bound[2].missing() && !bound[2].is(Kind::kNone)) {
    const bool pair = IsSequence(bound[2]) && Items(bound[2]).size() == 2 &&
                      Items(bound[2])[0].is(Kind::kString) && Items(bound[2])[1].is(Kind::kString);
    if (!pair) return Fault("tojson()'s separators must be two strings");
    style.item_separator = Text(Items(bound[2])[0]);
    style.key_separator = Text(Items(bound[2])[1]);
  }
  style.sort_keys = Truth(bound[3]);
  CLOISTER_ASSIGN_OR_RETURN(std::string text, JsonText(runtime.heap(), value, style));
  return MakeString(runtime.heap(), std::move(text));
}

base::Result<Value> NotSupported(Runtime&, const Value&, Arguments&) {
  return Fault("the filters pprint, random and urlize are not supported in chat templates");
}

constexpr Operations (*kGroups[])() = {TextFilters,     MarkupFilters,    ItemsFilters,
                                       OrderingFilters, SelectionFilters, NumberFilters,
                                       ValueFilters};

}  // namespace

Operations ValueFilters() {
  static constexpr NamedOperation kFilters[] = {{"attr", Attr},
                                                {"d", {Default, Price::kConstant}},
                                                {"default", {Default, Price::kConstant}},
                                                {"pprint", NotSupported},
                                                {"random", NotSupported},
                                                {"string", StringOf},
                                                {"tojson", ToJson},
                                                {"urlize", NotSupported}};
  static_assert(IsSorted(kFilters));
  return kFilters;
}

Operation FindFilter(std::string_view name) {
  for (const auto group : kGroups) {
    if (const Operation found = FindOperation(group(), name)) return found;
  }
  return nullptr;
}

std::vector<std::string_view> FilterNames() {
  std::vector<std::string_view> names;
  for (const auto group : kGroups) {
    for (const NamedOperation& filter : group()) names.push_back(filter.name);
  }
  return names;
}

}  // namespace cloister::model::jinja
