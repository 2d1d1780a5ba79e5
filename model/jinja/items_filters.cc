#include <algorithm>
#include <set>

#include "model/jinja/attribute_path.h"
#include "model/jinja/comparison.h"
#include "model/jinja/filters.h"
#include "model/jinja/iterators.h"
#include "model/jinja/loop.h"
#include "model/jinja/numbers.h"
#include "model/jinja/operators.h"
#include "model/jinja/sorting.h"
#include "model/jinja/text_of.h"
#include "model/jinja/text_sink.h"

namespace cloister::model::jinja {
namespace {

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

base::Result<Value> LengthFilter(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_RETURN_IF_ERROR(Bind("length", {}, 0, arguments));
  base::Result<std::int64_t> length =
      value.is(Kind::kLoop) ? value.as<Loop>().Length(runtime) : Length(value);
  if (!length) return base::Forward(std::move(length));
  return Value::Int(*length);
}

base::Result<Value> ListFilter(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_RETURN_IF_ERROR(Bind("list", {}, 0, arguments));
  CLOISTER_ASSIGN_OR_RETURN(std::vector<Value> items, Collect(runtime, value));
  return MakeList(runtime.heap(), std::move(items));
}

base::Result<Value> First(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_RETURN_IF_ERROR(Bind("first", {}, 0, arguments));
  CLOISTER_ASSIGN_OR_RETURN(const Ref<Iterator> items, Iterate(runtime, value));
  CLOISTER_ASSIGN_OR_RETURN(const std::optional<Value> item, items->Next(runtime));
  return item ? *item : MakeUndefined(runtime.heap(), "no first item, the sequence was empty");
}

base::Result<Value> Last(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_RETURN_IF_ERROR(Bind("last", {}, 0, arguments));
  CLOISTER_ASSIGN_OR_RETURN(const Ref<Iterator> items, IterateBackwards(runtime, value));
  CLOISTER_ASSIGN_OR_RETURN(const std::optional<Value> item, items->Next(runtime));
  return item ? *item : MakeUndefined(runtime.heap(), "no last item, the sequence was empty");
}

base::Result<Value> Reverse(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_RETURN_IF_ERROR(Bind("reverse", {}, 0, arguments));
  base::Result<Ref<Iterator>> items = IterateBackwards(runtime, value);
  if (value.is(Kind::kString)) {
    std::string text;
    while (true) {
      CLOISTER_ASSIGN_OR_RETURN(const auto one, (*items)->Next(runtime));
      if (!one) return MakeString(runtime.heap(), std::move(text), value.as<String>().markup());
      CLOISTER_RETURN_IF_ERROR(runtime.heap().Check());
      CLOISTER_RETURN_IF_ERROR(MakeRoom(runtime.heap(), text, Text(*one).size()));
      text += Text(*one);
    }
  }
  if (items) return Value(*items);
  CLOISTER_ASSIGN_OR_RETURN(std::vector<Value> collected, Collect(runtime, value));
  std::reverse(collected.begin(), collected.end());
  return MakeList(runtime.heap(), std::move(collected));
}

base::Result<Value> Join(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("join", {"d", "attribute"}, 0, arguments));
  std::string separator;
  if (!bound[0].missing()) {
    CLOISTER_ASSIGN_OR_RETURN(separator, TextOf(bound[0]));
  }
  CLOISTER_ASSIGN_OR_RETURN(const AttributePath path,
                            AttributePath::Make(runtime.heap(), bound[1]));
  CLOISTER_ASSIGN_OR_RETURN(const Ref<Iterator> items, Iterate(runtime, value));
  std::string text;
  for (bool first = true;; first = false) {
    runtime.heap().Spend(1);
    CLOISTER_RETURN_IF_ERROR(runtime.heap().Check());
    CLOISTER_ASSIGN_OR_RETURN(const std::optional<Value> item, items->Next(runtime));
    if (!item) return MakeString(runtime.heap(), std::move(text));
    CLOISTER_ASSIGN_OR_RETURN(const Value part, path.Of(runtime, *item));
    runtime.heap().SpendBytes(separator.size());
    CLOISTER_RETURN_IF_ERROR(MakeRoom(runtime.heap(), text, separator.size()));
    if (!first) text += separator;
    CLOISTER_RETURN_IF_ERROR(AppendText(part, text));
  }
}

base::Result<std::vector<Value>> MakePairs(Runtime& runtime, const Value& value, const Value&,
                                           const Value&) {
  if (value.is(Kind::kUndefined)) return std::vector<Value>();
  if (!value.is(Kind::kDict)) return Fault("can only get item pairs from a mapping");
  return Collect(runtime,
                 Value(new View(runtime.heap(), Ref<Dict>(&value.as<Dict>()), View::Part::kItems)));
}

base::Result<Value> ItemsFilter(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_RETURN_IF_ERROR(Bind("items", {}, 0, arguments));
  return Value(new Deferred(runtime.heap(), MakePairs, value, {}, {}));
}

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

base::Result<Value> Sum(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("sum", {"attribute", "start"}, 0, arguments));
  if (bound[1].is(Kind::kString)) return Fault("sum() can't sum strings");
  CLOISTER_ASSIGN_OR_RETURN(const AttributePath path,
                            AttributePath::Make(runtime.heap(), bound[0]));
  CLOISTER_ASSIGN_OR_RETURN(const auto items, Collect(runtime, value));
  Value sum = bound[1].missing() ? Value::Int(0) : bound[1];
  for (const Value& item : items) {
    CLOISTER_ASSIGN_OR_RETURN(const Value part, path.Of(runtime, item));
    CLOISTER_ASSIGN_OR_RETURN(sum, Apply(runtime, BinaryOperator::kAdd, sum, part));
    CLOISTER_RETURN_IF_ERROR(runtime.heap().Check());
  }
  return sum;
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

// Whether there is something to fill up with.
bool Fills(const Value& fill_with) { return !fill_with.missing() && !fill_with.is(Kind::kNone); }

base::Status AdmitItems(Heap& heap, std::int64_t count, std::size_t bytes) {
  std::uint64_t all = 0;
  if (__builtin_mul_overflow(static_cast<std::uint64_t>(count), bytes, &all)) all = ~0ULL;
  return heap.Admit(all);
}

base::Result<std::vector<Value>> MakeBatches(Runtime& runtime, const Value& value,
                                             const Value& line_count, const Value& fill_with) {
  CLOISTER_ASSIGN_OR_RETURN(const auto items, Collect(runtime, value));
  Heap& heap = runtime.heap();
  std::vector<Value> batches, batch;
  for (const Value& item : items) {
    if (Equal(Value::Int(static_cast<std::int64_t>(batch.size())), line_count)) {
      batches.push_back(MakeList(heap, std::exchange(batch, {})));
    }
    batch.push_back(item);
  }
  if (!batch.empty() && Fills(fill_with)) {
    CLOISTER_ASSIGN_OR_RETURN(const std::int64_t size, AsInteger(line_count));
    const std::int64_t missing = size - static_cast<std::int64_t>(batch.size());
    if (missing > 0) {
      CLOISTER_RETURN_IF_ERROR(AdmitItems(heap, missing, sizeof(Value)));
      batch.insert(batch.end(), static_cast<std::size_t>(missing), fill_with);
    }
  }
  if (!batch.empty()) batches.push_back(MakeList(heap, std::move(batch)));
  return batches;
}

base::Result<Value> Batch(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound,
                            Bind("batch", {"linecount", "fill_with"}, 1, arguments));
  return Value(new Deferred(runtime.heap(), MakeBatches, value, bound[0], bound[1]));
}

base::Result<std::vector<Value>> MakeSlices(Runtime& runtime, const Value& value,
                                            const Value& count, const Value& fill_with) {
  CLOISTER_ASSIGN_OR_RETURN(const auto items, Collect(runtime, value));
  CLOISTER_ASSIGN_OR_RETURN(const std::int64_t slices, AsInteger(count));
  std::vector<Value> result;
  if (slices == 0) return Fault("slice() into no parts");
  if (slices < 0) return result;
  Heap& heap = runtime.heap();
  CLOISTER_RETURN_IF_ERROR(AdmitItems(heap, slices, sizeof(List)));
  const auto length = static_cast<std::int64_t>(items.size());
  const std::int64_t each = length / slices, longer = length % slices;
  auto next = items.begin();
  for (std::int64_t i = 0; i < slices; ++i) {
    const auto end = next + each + (i < longer ? 1 : 0);
    std::vector<Value> slice(next, end);
    if (Fills(fill_with) && i >= longer) slice.push_back(fill_with);
    result.push_back(MakeList(heap, std::move(slice)));
    CLOISTER_RETURN_IF_ERROR(heap.Check());
    next = end;
  }
  return result;
}

base::Result<Value> SliceFilter(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("slice", {"slices", "fill_with"}, 1, arguments));
  return Value(new Deferred(runtime.heap(), MakeSlices, value, bound[0], bound[1]));
}

}  // namespace

Operations ItemsFilters() {
  static constexpr NamedOperation kFilters[] = {
      {"batch", {Batch, Price::kConstant}},
      {"count", {LengthFilter, Price::kConstant}},
      {"dictsort", DictSort},
      {"first", {First, Price::kConstant}},
      {"groupby", GroupBy},
      {"items", {ItemsFilter, Price::kConstant}},
      {"join", Join},
      {"last", {Last, Price::kConstant}},
      {"length", {LengthFilter, Price::kConstant}},
      {"list", ListFilter},
      {"max", Extreme<true>},
      {"min", Extreme<false>},
      {"reverse", Reverse},
      {"slice", {SliceFilter, Price::kConstant}},
      {"sort", Sort},
      {"sum", Sum},
      {"unique", {Unique, Price::kConstant}},
  };
  static_assert(IsSorted(kFilters));
  return kFilters;
}

}  // namespace cloister::model::jinja
