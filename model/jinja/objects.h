#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/jinja/value.h"

namespace cloister::model::jinja {

// Text in UTF-8, indexed by code point. A byte that is no UTF-8 counts as a character of its own
// and is kept. `markup`: what the filters `safe` and `escape` give; text added to it is escaped.
class String final : public Object {
 public:
  String(Heap& heap, std::string text, bool markup)
      : Object(heap, Kind::kString, sizeof(String) + text.size()),
        text_(std::move(text)),
        markup_(markup) {}
  const std::string& text() const { return text_; }
  bool markup() const { return markup_; }
  std::int64_t length() const;  // in code points
  bool ascii() const { return length() == static_cast<std::int64_t>(text_.size()); }

 private:
  std::string text_;
  mutable std::int64_t length_ = -1;
  bool markup_;
};

// A list or a tuple.
class List final : public Object {
 public:
  List(Heap& heap, Kind kind, std::vector<Value> items, bool group = false);
  const std::vector<Value>& items() const { return items_; }
  // A tuple of the filter groupby, whose parts are also .grouper and .list.
  bool group() const { return group_; }

 private:
  std::vector<Value> items_;
  bool group_;
};

// A dict: keys are kept in the order in which they came.
class Dict final : public Object {
 public:
  using Entry = std::pair<Value, Value>;
  // The keys are hashable and differ from one another.
  Dict(Heap& heap, std::vector<Entry> entries);
  const std::vector<Entry>& entries() const { return entries_; }
  // Null when absent. Spends steps where it must look at every key.
  const Value* Find(const Value& key) const;
  const Value* Find(std::string_view key) const;

 private:
  void Index() const;

  std::vector<Entry> entries_;
  // Of a dict of many keys, all strings: the entries in the keys' order.
  mutable std::vector<std::uint32_t> sorted_;
  bool all_strings_;
};

class Range final : public Object {
 public:
  Range(Heap& heap, std::int64_t start, std::int64_t stop, std::int64_t step);
  std::int64_t start() const { return start_; }
  std::int64_t stop() const { return stop_; }
  std::int64_t step() const { return step_; }
  std::int64_t length() const { return length_; }
  std::int64_t At(std::int64_t index) const { return start_ + index * step_; }

 private:
  std::int64_t start_, stop_, step_, length_;
};

class View final : public Object {
 public:
  enum class Part { kKeys, kValues, kItems };
  View(Heap& heap, Ref<Dict> dict, Part part)
      : Object(heap, Kind::kView, sizeof(View), dict->depth() + 1),
        dict_(std::move(dict)),
        part_(part) {}
  const Dict& dict() const { return *dict_; }
  Part part() const { return part_; }
  Value At(std::size_t index) const;

 private:
  Ref<Dict> dict_;
  Part part_;
};

class BigInt final : public Object {
 public:
  BigInt(Heap& heap, std::uint64_t value)
      : Object(heap, Kind::kBigInt, sizeof(BigInt)), value_(value) {}
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_;
};

// What namespace() makes: the one thing that a template can change.
class Namespace final : public Object {
 public:
  // By key; one that is no string is printed and cannot be reached.
  using Attributes = std::vector<std::pair<Value, Value>>;
  explicit Namespace(Heap& heap) : Object(heap, Kind::kNamespace, sizeof(Namespace)) {}
  const Attributes& attributes() const { return attributes_; }
  Value* Find(std::string_view name);  // null when absent
  void Set(std::string_view name, Value value);
  // `key` is not there yet.
  void Add(Value key, Value value);
  void Empty() override { attributes_.clear(); }

 private:
  Attributes attributes_;
};

// The value of what is not there: prints as nothing, is false, has no items, and anything else
// done to it fails with `message`.
class Undefined final : public Object {
 public:
  Undefined(Heap& heap, std::string message)
      : Object(heap, Kind::kUndefined, sizeof(Undefined) + message.size()),
        message_(std::move(message)) {}
  const std::string& message() const { return message_; }

 private:
  std::string message_;
};

Value MakeString(Heap& heap, std::string text, bool markup = false);
Value MakeList(Heap& heap, std::vector<Value> items);
Value MakeTuple(Heap& heap, std::vector<Value> items);
// Equal keys: the first's place, the last's value. kFailedPrecondition for a key that cannot be
// one (a list, a dict).
base::Result<Value> MakeDict(Heap& heap, std::vector<Dict::Entry> entries);
Value MakeUndefined(Heap& heap, std::string message);
// "'name' is undefined"
Value UndefinedName(Heap& heap, std::string_view name);
// "'dict object' has no attribute 'name'"
Value UndefinedAttribute(Heap& heap, const Value& object, std::string_view name);

// The text of a value that is a string.
inline const std::string& Text(const Value& value) { return value.as<String>().text(); }
// The items of a list or a tuple.
inline const std::vector<Value>& Items(const Value& value) { return value.as<List>().items(); }
inline bool IsSequence(const Value& value) {
  return value.is(Kind::kList) || value.is(Kind::kTuple);
}

// A Python error inside the template: kFailedPrecondition.
tl::unexpected<base::Error> Fault(std::string message);
// What using an undefined value gives.
tl::unexpected<base::Error> UndefinedFault(const Value& value);

// Whether a dict may have the key: not a list or a dict, nor a tuple that holds one.
base::Status CheckHashable(const Value& key);

}  // namespace cloister::model::jinja
