#include "model/jinja/objects.h"

#include <algorithm>
#include <numeric>

#include "model/jinja/comparison.h"
#include "model/jinja/unicode.h"

namespace cloister::model::jinja {
namespace {

// Below this many keys a dict is looked through from front to back.
constexpr std::size_t kIndexedFrom = 9;
// More keys than that are not looked at in an indexed dict.
constexpr std::size_t kMostCompared = 32;

int DepthOf(const std::vector<Value>& items) {
  int depth = 0;
  for (const Value& item : items) depth = std::max(depth, item.depth());
  return depth + 1;
}

int DepthOf(const std::vector<Dict::Entry>& entries) {
  int depth = 0;
  for (const auto& [key, value] : entries) depth = std::max({depth, key.depth(), value.depth()});
  return depth + 1;
}

bool AllStrings(const std::vector<Dict::Entry>& entries) {
  return std::all_of(entries.begin(), entries.end(),
                     [](const Dict::Entry& entry) { return entry.first.is(Kind::kString); });
}

// Marks, for each entry, the last one with its key, and drops the later ones. `order` has equal
// keys beside one another, the earliest first.
std::vector<Dict::Entry> WithoutRepeats(Heap& heap, std::vector<Dict::Entry> entries,
                                        const std::vector<std::uint32_t>& order) {
  std::vector<bool> repeats(entries.size(), false);
  for (std::size_t i = 1, first = 0; i < order.size() && heap.within(); ++i) {
    heap.SpendBytes(Text(entries[order[i]].first).size());
    if (Text(entries[order[i]].first) != Text(entries[order[first]].first)) {
      first = i;
      continue;
    }
    entries[order[first]].second = entries[order[i]].second;
    repeats[order[i]] = true;
  }
  std::vector<Dict::Entry> kept;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (!repeats[i]) kept.push_back(std::move(entries[i]));
  }
  return kept;
}

// Any order will do once the heap's limits are passed, because the rendering fails.
std::vector<std::uint32_t> SortedByKey(Heap& heap, const std::vector<Dict::Entry>& entries) {
  std::vector<std::uint32_t> order(entries.size());
  std::iota(order.begin(), order.end(), 0);
  heap.Spend(entries.size());
  std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    const std::string &left = Text(entries[a].first), &right = Text(entries[b].first);
    heap.SpendBytes(std::min(left.size(), right.size()));
    return heap.within() && left < right;
  });
  return order;
}

}  // namespace

void Object::Destroy() { delete this; }

std::string_view TypeName(const Value& value) {
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
    case Kind::kBigInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return value.as<String>().markup() ? "Markup" : "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kRange:
      return "range";
    case Kind::kView:
      switch (value.as<View>().part()) {
        case View::Part::kKeys:
          return "dict_keys";
        case View::Part::kValues:
          return "dict_values";
        case View::Part::kItems:
          return "dict_items";
      }
      return "dict_items";
    case Kind::kIterator:
      return "generator";
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kMacro:
      return "Macro";
    case Kind::kMethod:
    case Kind::kFunction:
      return "function";
    case Kind::kLoop:
      return "LoopContext";
    case Kind::kCycler:
      return "Cycler";
    case Kind::kJoiner:
      return "Joiner";
    case Kind::kFrame:
      break;
  }
  return "object";
}

bool Truth(const Value& value) {
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return value.integer() != 0;
    case Kind::kFloat:
      return value.real() != 0;
    case Kind::kString:
      return !Text(value).empty();
    case Kind::kList:
    case Kind::kTuple:
      return !Items(value).empty();
    case Kind::kDict:
      return !value.as<Dict>().entries().empty();
    case Kind::kRange:
      return value.as<Range>().length() > 0;
    case Kind::kView:
      return !value.as<View>().dict().entries().empty();
    default:
      return true;
  }
}

std::int64_t String::length() const {
  if (length_ < 0) {
    heap().SpendLook(text_.size());
    length_ = static_cast<std::int64_t>(CountCodePoints(text_));
  }
  return length_;
}

List::List(Heap& heap, Kind kind, std::vector<Value> items, bool group)
    : Object(heap, kind, sizeof(List) + items.size() * sizeof(Value), DepthOf(items)),
      items_(std::move(items)),
      group_(group) {}

Dict::Dict(Heap& heap, std::vector<Entry> entries)
    : Object(heap, Kind::kDict, sizeof(Dict) + entries.size() * sizeof(Entry), DepthOf(entries)),
      entries_(std::move(entries)),
      all_strings_(AllStrings(entries_)) {}

void Dict::Index() const { sorted_ = SortedByKey(heap(), entries_); }

const Value* Dict::Find(std::string_view key) const {
  // Each of the keys that it is compared with may have all of it in common.
  heap().SpendBytes(key.size() * std::min<std::size_t>(entries_.size(), kMostCompared));
  if (!all_strings_ || entries_.size() < kIndexedFrom) {
    if (!all_strings_) heap().Spend(entries_.size() + key.size() / 32 * entries_.size());
    for (const auto& [name, value] : entries_) {
      if (name.is(Kind::kString) && Text(name) == key) return &value;
    }
    return nullptr;
  }
  if (sorted_.empty()) Index();
  const auto found = std::lower_bound(
      sorted_.begin(), sorted_.end(), key, [this](std::uint32_t entry, std::string_view wanted) {
        return std::string_view(Text(entries_[entry].first)) < wanted;
      });
  if (found == sorted_.end() || Text(entries_[*found].first) != key) return nullptr;
  return &entries_[*found].second;
}

const Value* Dict::Find(const Value& key) const {
  if (key.is(Kind::kString)) return Find(std::string_view(Text(key)));
  if (all_strings_) return nullptr;
  heap().Spend(entries_.size());
  for (const auto& [name, value] : entries_) {
    if (Equal(name, key)) return &value;
  }
  return nullptr;
}

Range::Range(Heap& heap, std::int64_t start, std::int64_t stop, std::int64_t step)
    : Object(heap, Kind::kRange, sizeof(Range)), start_(start), stop_(stop), step_(step) {
  const auto distance = static_cast<__int128>(stop) - start;
  const __int128 length = step > 0 ? (distance + step - 1) / step : (distance + step + 1) / step;
  length_ = length > 0 ? static_cast<std::int64_t>(length) : 0;
}

Value View::At(std::size_t index) const {
  const Dict::Entry& entry = dict_->entries()[index];
  switch (part_) {
    case Part::kKeys:
      return entry.first;
    case Part::kValues:
      return entry.second;
    case Part::kItems:
      return MakeTuple(heap(), {entry.first, entry.second});
  }
  return {};
}

Value* Namespace::Find(std::string_view name) {
  heap().Spend(attributes_.size() / 8);
  heap().SpendBytes(name.size());
  for (auto& [known, value] : attributes_) {
    if (known.is(Kind::kString) && Text(known) == name) return &value;
  }
  return nullptr;
}

void Namespace::Set(std::string_view name, Value value) {
  heap().Spend(1);
  if (Value* old = Find(name)) {
    *old = std::move(value);
    return;
  }
  Add(MakeString(heap(), std::string(name)), std::move(value));
}

void Namespace::Add(Value key, Value value) {
  Grow(sizeof(attributes_[0]));
  attributes_.emplace_back(std::move(key), std::move(value));
}

Value MakeString(Heap& heap, std::string text, bool markup) {
  return Value(new String(heap, std::move(text), markup));
}

Value MakeList(Heap& heap, std::vector<Value> items) {
  return Value(new List(heap, Kind::kList, std::move(items)));
}

Value MakeTuple(Heap& heap, std::vector<Value> items) {
  return Value(new List(heap, Kind::kTuple, std::move(items)));
}

base::Result<Value> MakeDict(Heap& heap, std::vector<Dict::Entry> entries) {
  for (const auto& [key, value] : entries) CLOISTER_RETURN_IF_ERROR(CheckHashable(key));
  if (AllStrings(entries)) {
    const std::vector<std::uint32_t> order = SortedByKey(heap, entries);
    entries = WithoutRepeats(heap, std::move(entries), order);
    CLOISTER_RETURN_IF_ERROR(heap.Check());
    return Value(new Dict(heap, std::move(entries)));
  }
  std::vector<Dict::Entry> kept;
  for (Dict::Entry& entry : entries) {
    heap.Spend(1 + kept.size());
    if (!heap.within()) break;
    const auto same = std::find_if(kept.begin(), kept.end(), [&](const Dict::Entry& known) {
      return Equal(known.first, entry.first);
    });
    if (same != kept.end()) {
      same->second = std::move(entry.second);
    } else {
      kept.push_back(std::move(entry));
    }
  }
  CLOISTER_RETURN_IF_ERROR(heap.Check());
  return Value(new Dict(heap, std::move(kept)));
}

Value MakeUndefined(Heap& heap, std::string message) {
  return Value(new Undefined(heap, std::move(message)));
}

Value UndefinedName(Heap& heap, std::string_view name) {
  return MakeUndefined(heap, "'" + std::string(name) + "' is undefined");
}

Value UndefinedAttribute(Heap& heap, const Value& object, std::string_view name) {
  const std::string type =
      object.is(Kind::kNone) ? "None" : std::string(TypeName(object)) + " object";
  return MakeUndefined(heap, "'" + type + "' has no attribute '" + std::string(name) + "'");
}

tl::unexpected<base::Error> Fault(std::string message) {
  return base::Fail(base::Code::kFailedPrecondition, std::move(message));
}

tl::unexpected<base::Error> UndefinedFault(const Value& value) {
  return Fault(value.is(Kind::kUndefined) ? value.as<Undefined>().message()
                                          : "a value is undefined");
}

base::Status CheckHashable(const Value& key) {
  if (key.is(Kind::kList) || key.is(Kind::kDict)) {
    return Fault("unhashable type: '" + std::string(TypeName(key)) + "'");
  }
  if (!key.is(Kind::kTuple)) return {};
  // A tuple may hold another many times over, so that its parts are more than its bytes.
  key.object()->heap().Spend(Items(key).size());
  CLOISTER_RETURN_IF_ERROR(key.object()->heap().Check());
  for (const Value& item : Items(key)) CLOISTER_RETURN_IF_ERROR(CheckHashable(item));
  return {};
}

}  // namespace cloister::model::jinja
