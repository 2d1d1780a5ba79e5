// Filters that compare items by keys.
#include <algorithm>
#include <set>

#include "model/jinja/attribute_path.h"
#include "model/jinja/comparison.h"
#include "model/jinja/deferred_items.h"
#include "model/jinja/filters.h"
#include "model/jinja/iterators.h"
#include "model/jinja/sorting.h"

namespace cloister::model::jinja {
namespace {

// Items with the keys by which a filter compares them.
struct Keyed {
  std::vector<Value> items, keys;
};

base::Result<Keyed> KeyedBy(Runtime& runtime, const Value& value, const AttributePath& path,
                            bool case_sensitive, const Value& otherwise = {}) {
  Keyed keyed;
  CLOISTER_ASSIGN_OR_RETURN(keyed.items, Collect(runtime, value));
  keyed.keys.reserve(keyed.items.size());
  for (const Value& item : keyed.items) {
    runtime.heap().Spend(1);
    CLOISTER_ASSIGN_OR_RETURN(Value key, path.Of(runtime, item, otherwise));
    if (!case_sensitive) {
      CLOISTER_ASSIGN_OR_RETURN(key, WithoutCase(runtime.heap(), key));
    }
    keyed.keys.push_back(std::move(key));
    CLOISTER_RETURN_IF_ERROR(runtime.heap().Check());
  }
  return keyed;
}

// The argument `attribute` of sort: "a,b" compares by a, then by b.
base::Result<std::vector<AttributePath>> PathsOf(Heap& heap, const Value& attribute) {
  std::vector<AttributePath> paths;
  if (!attribute.is(Kind::kString)) {
    CLOISTER_ASSIGN_OR_RETURN(AttributePath path, AttributePath::Make(heap, attribute));
    paths.push_back(std::move(path));
    return paths;
  }
  const std::string& text = Text(attribute);
  for (std::size_t start = 0; start <= text.size();) {
    const std::size_t end = std::min(text.find(',', start), text.size());
    const Value part = MakeString(heap, text.substr(start, end - start));
    CLOISTER_ASSIGN_OR_RETURN(AttributePath path, AttributePath::Make(heap, part));
    paths.push_back(std::move(path));
    start = end + 1;
  }
  return paths;
}

base::Result<Value> Sort(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound,
                            Bind("sort", {"reverse", "case_sensitive", "attribute"}, 0, arguments));
  Heap& heap = runtime.heap();
  CLOISTER_ASSIGN_OR_RETURN(const std::vector<AttributePath> paths, PathsOf(heap, bound[2]));
  CLOISTER_ASSIGN_OR_RETURN(std::vector<Value> items, Collect(runtime, value));
  std::vector<Value> keys;
  for (const Value& item : items) {
    std::vector<Value> parts;
    for (const AttributePath& path : paths) {
      CLOISTER_ASSIGN_OR_RETURN(Value part, path.Of(runtime, item));
      if (!Truth(bound[1])) {
        CLOISTER_ASSIGN_OR_RETURN(part, WithoutCase(heap, part));
      }
      parts.push_back(std::move(part));
    }
    keys.push_back(MakeList(heap, std::move(parts)));
    CLOISTER_RETURN_IF_ERROR(heap.Check());
  }
  CLOISTER_ASSIGN_OR_RETURN(std::vector<Value> sorted,
                            SortedBy(runtime, std::move(items), keys, Truth(bound[0])));
  return MakeList(heap, std::move(sorted));
}

base::Result<Value> DictSort(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound,
                            Bind("dictsort", {"case_sensitive", "by", "reverse"}, 0, arguments));
  if (value.is(Kind::kUndefined)) return UndefinedFault(value);
  if (!value.is(Kind::kDict)) return Fault("dictsort() needs a dict");
  const bool by_key = bound[1].missing() || (bound[1].is(Kind::kString) && Text(bound[1]) == "key");
  if (!by_key && !(bound[1].is(Kind::kString) && Text(bound[1]) == "value")) {
    return Fault("dictsort() can only sort by 'key' or 'value'");
  }
  std::vector<Value> items, keys;
  for (const auto& [key, content] : value.as<Dict>().entries()) {
    const Value& by = by_key ? key : content;
    Value compared = by;
    if (!Truth(bound[0])) {
      CLOISTER_ASSIGN_OR_RETURN(compared, WithoutCase(runtime.heap(), by));
    }
    keys.push_back(std::move(compared));
    items.push_back(MakeTuple(runtime.heap(), {key, content}));
    CLOISTER_RETURN_IF_ERROR(runtime.heap().Check());
  }
  CLOISTER_ASSIGN_OR_RETURN(std::vector<Value> sorted,
                            SortedBy(runtime, std::move(items), keys, Truth(bound[2])));
  return MakeList(runtime.heap(), std::move(sorted));
}

base::Result<Value> GroupBy(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(
      const auto bound, Bind("groupby", {"attribute", "default", "case_sensitive"}, 1, arguments));
  Heap& heap = runtime.heap();
  CLOISTER_ASSIGN_OR_RETURN(const AttributePath path, AttributePath::Make(heap, bound[0]));
  const bool case_sensitive = Truth(bound[2]);
  CLOISTER_ASSIGN_OR_RETURN(Keyed keyed, KeyedBy(runtime, value, path, case_sensitive, bound[1]));
  CLOISTER_ASSIGN_OR_RETURN(const std::vector<Value> sorted,
                            SortedBy(runtime, keyed.items, keyed.keys, false));
  std::vector<Value> groups, members;
  Value grouper, last;
  const auto close = [&] {
    if (members.empty()) return;
    std::vector<Value> pair = {grouper, MakeList(heap, std::exchange(members, {}))};
    groups.emplace_back(new List(heap, Kind::kTuple, std::move(pair), true));
  };
  for (const Value& item : sorted) {
    CLOISTER_ASSIGN_OR_RETURN(const Value own, path.Of(runtime, item, bound[1]));
    Value key = own;
    if (!case_sensitive) {
      CLOISTER_ASSIGN_OR_RETURN(key, WithoutCase(heap, own));
    }
    if (members.empty() || !Equal(key, last)) {
      close();
      grouper = own;
      last = key;
    }
    members.push_back(item);
    CLOISTER_RETURN_IF_ERROR(heap.Check());
  }
  close();
  return MakeList(heap, std::move(groups));
}

template <bool greatest>
base::Result<Value> Extreme(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind(greatest ? "max" : "min",
                                                   {"case_sensitive", "attribute"}, 0, arguments));
  CLOISTER_ASSIGN_OR_RETURN(const AttributePath path,
                            AttributePath::Make(runtime.heap(), bound[1]));
  CLOISTER_ASSIGN_OR_RETURN(const Keyed keyed, KeyedBy(runtime, value, path, Truth(bound[0])));
  if (keyed.items.empty()) {
    return MakeUndefined(runtime.heap(), "no aggregated item, the sequence was empty");
  }
  std::size_t best = 0;
  for (std::size_t i = 1; i < keyed.items.size(); ++i) {
    const Value &left = keyed.keys[greatest ? best : i], &right = keyed.keys[greatest ? i : best];
    runtime.heap().Spend(1);
    CLOISTER_RETURN_IF_ERROR(runtime.heap().Check());
    CLOISTER_ASSIGN_OR_RETURN(const int order, Order(left, right));
    if (order == -1) best = i;
  }
  return keyed.items[best];
}

base::Result<std::vector<Value>> MakeUnique(Runtime& runtime, const Value& value,
                                            const Value& case_sensitive, const Value& attribute) {
  CLOISTER_ASSIGN_OR_RETURN(const AttributePath path,
                            AttributePath::Make(runtime.heap(), attribute));
  CLOISTER_ASSIGN_OR_RETURN(const Keyed keyed,
                            KeyedBy(runtime, value, path, Truth(case_sensitive)));
  Heap& heap = runtime.heap();
  const auto before = [&heap](std::string_view a, std::string_view b) {
    heap.Spend(1);
    heap.SpendBytes(std::min(a.size(), b.size()));
    return heap.within() && a < b;
  };
  std::set<std::string_view, decltype(before)> texts(before);
  std::vector<Value> others, kept;
  for (std::size_t i = 0; i < keyed.items.size(); ++i) {
    const Value& key = keyed.keys[i];
    CLOISTER_RETURN_IF_ERROR(CheckHashable(key));
    CLOISTER_RETURN_IF_ERROR(heap.Check());
    if (key.is(Kind::kString)) {
      if (texts.insert(Text(key)).second) kept.push_back(keyed.items[i]);
      continue;
    }
    heap.Spend(others.size());
    CLOISTER_RETURN_IF_ERROR(heap.Check());
    const auto same = [&](const Value& other) { return Equal(other, key); };
    if (std::any_of(others.begin(), others.end(), same)) continue;
    others.push_back(key);
    kept.push_back(keyed.items[i]);
  }
  return kept;
}

base::Result<Value> Unique(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound,
                            Bind("unique", {"case_sensitive", "attribute"}, 0, arguments));
  return Value(new Deferred(runtime.heap(), MakeUnique, value, bound[0], bound[1]));
}

}  // namespace

Operations OrderingFilters() {
  static constexpr NamedOperation kFilters[] = {
      {"dictsort", DictSort},  {"groupby", GroupBy}, {"max", Extreme<true>},
      {"min", Extreme<false>}, {"sort", Sort},       {"unique", {Unique, Price::kConstant}},
  };
  static_assert(IsSorted(kFilters));
  return kFilters;
}

}  // namespace cloister::model::jinja
