#include <algorithm>

#include "model/jinja/attribute_path.h"
#include "model/jinja/comparison.h"
#include "model/jinja/deferred_items.h"
#include "model/jinja/filters.h"
#include "model/jinja/iterators.h"
#include "model/jinja/loop.h"
#include "model/jinja/numbers.h"
#include "model/jinja/operators.h"
#include "model/jinja/text_of.h"
#include "model/jinja/text_sink.h"

namespace cloister::model::jinja {
namespace {

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
      {"first", {First, Price::kConstant}},
      {"items", {ItemsFilter, Price::kConstant}},
      {"join", Join},
      {"last", {Last, Price::kConstant}},
      {"length", {LengthFilter, Price::kConstant}},
      {"list", ListFilter},
      {"reverse", Reverse},
      {"slice", {SliceFilter, Price::kConstant}},
      {"sum", Sum},
  };
  static_assert(IsSorted(kFilters));
  return kFilters;
}

}  // namespace cloister::model::jinja
