#include <algorithm>
#include <cmath>

#include "model/jinja/comparison.h"
#include "model/jinja/iterators.h"
#include "model/jinja/methods.h"
#include "model/jinja/numbers.h"

namespace cloister::model::jinja {
namespace {

// A sequence's items with the place of the first: those of a range are made.
base::Result<std::vector<Value>> ItemsOf(Runtime& runtime, const Value& self) {
  return Collect(runtime, self);
}

base::Result<Value> Count(Runtime& runtime, const Value& self, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("count", {"value"}, 1, arguments));
  CLOISTER_ASSIGN_OR_RETURN(const auto items, ItemsOf(runtime, self));
  std::int64_t count = 0;
  for (const Value& item : items) count += Equal(item, bound[0]) ? 1 : 0;
  return Value::Int(count);
}

base::Result<Value> Index(Runtime& runtime, const Value& self, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound,
                            Bind("index", {"value", "start", "stop"}, 1, arguments));
  CLOISTER_ASSIGN_OR_RETURN(const auto items, ItemsOf(runtime, self));
  const auto length = static_cast<std::int64_t>(items.size());
  std::int64_t range[2] = {0, length};
  for (int i = 0; i < 2; ++i) {
    if (bound[i + 1].missing()) continue;
    CLOISTER_ASSIGN_OR_RETURN(range[i], AsInteger(bound[i + 1]));
    if (range[i] < 0) range[i] = std::max<std::int64_t>(0, range[i] + length);
  }
  for (std::int64_t i = range[0]; i < std::min(range[1], length); ++i) {
    if (Equal(items[static_cast<std::size_t>(i)], bound[0])) return Value::Int(i);
  }
  return Fault("index(): the value is not in the " + std::string(TypeName(self)));
}

base::Result<Value> Copy(Runtime&, const Value& self, Arguments& arguments) {
  CLOISTER_RETURN_IF_ERROR(Bind("copy", {}, 0, arguments));
  return self;  // nothing can change either
}

base::Result<Value> Get(Runtime&, const Value& self, Arguments& arguments) {
  if (!arguments.named.empty()) return Fault("get() takes no keyword arguments");
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("get", {"key", "default"}, 1, arguments));
  CLOISTER_RETURN_IF_ERROR(CheckHashable(bound[0]));
  if (const Value* found = self.as<Dict>().Find(bound[0])) return *found;
  return bound[1].missing() ? Value::None() : bound[1];
}

template <View::Part part>
base::Result<Value> MakeView(Runtime& runtime, const Value& self, Arguments& arguments) {
  CLOISTER_RETURN_IF_ERROR(Bind("keys, values or items", {}, 0, arguments));
  return Value(new View(runtime.heap(), Ref<Dict>(&self.as<Dict>()), part));
}

base::Result<Value> IsInteger(Runtime&, const Value& self, Arguments&) {
  return Value::Bool(std::isfinite(self.real()) && self.real() == std::floor(self.real()));
}

base::Result<Value> BitLength(Runtime&, const Value& self, Arguments&) {
  const std::int64_t value = self.integer();
  auto rest = value < 0 ? std::uint64_t{0} - static_cast<std::uint64_t>(value)
                        : static_cast<std::uint64_t>(value);
  std::int64_t bits = 0;
  for (; rest != 0; rest >>= 1) ++bits;
  return Value::Int(bits);
}

template <std::size_t size>
bool Among(const std::string_view (&names)[size], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

}  // namespace

base::Result<Value> DictFromKeys(Runtime& runtime, const Value&, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("fromkeys", {"keys", "value"}, 1, arguments));
  CLOISTER_ASSIGN_OR_RETURN(const auto keys, Collect(runtime, bound[0]));
  std::vector<Dict::Entry> entries;
  for (const Value& key : keys) {
    entries.emplace_back(key, bound[1].missing() ? Value::None() : bound[1]);
  }
  return MakeDict(runtime.heap(), std::move(entries));
}

Operation FindOperation(Operations operations, std::string_view name) {
  const auto found = std::lower_bound(
      operations.begin(), operations.end(), name,
      [](const NamedOperation& known, std::string_view wanted) { return known.name < wanted; });
  return found != operations.end() && found->name == name ? found->operation : nullptr;
}

Operations SequenceMethods() {
  static constexpr NamedOperation kMethods[] = {
      {"copy", {Copy, Price::kConstant}}, {"count", Count}, {"index", Index}};
  static_assert(IsSorted(kMethods));
  return kMethods;
}

Operations DictMethods() {
  static constexpr NamedOperation kMethods[] = {
      {"copy", {Copy, Price::kConstant}},
      {"fromkeys", DictFromKeys},
      {"get", {Get, Price::kConstant}},
      {"items", {MakeView<View::Part::kItems>, Price::kConstant}},
      {"keys", {MakeView<View::Part::kKeys>, Price::kConstant}},
      {"values", {MakeView<View::Part::kValues>, Price::kConstant}}};
  static_assert(IsSorted(kMethods));
  return kMethods;
}

Operations NumberMethods() {
  static constexpr NamedOperation kMethods[] = {{"bit_length", BitLength},
                                                {"is_integer", IsInteger}};
  static_assert(IsSorted(kMethods));
  return kMethods;
}

bool ChangesList(std::string_view name) {
  static constexpr std::string_view kNames[] = {"append", "clear",  "extend",  "insert",
                                                "pop",    "remove", "reverse", "sort"};
  return Among(kNames, name);
}

bool ChangesDict(std::string_view name) {
  static constexpr std::string_view kNames[] = {"clear", "pop", "popitem", "setdefault", "update"};
  return Among(kNames, name);
}

}  // namespace cloister::model::jinja
