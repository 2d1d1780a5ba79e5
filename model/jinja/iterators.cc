#include "model/jinja/iterators.h"

#include "model/jinja/comparison.h"
#include "model/jinja/loop.h"
#include "model/jinja/unicode.h"

namespace cloister::model::jinja {
namespace {

// Items that are reached by their place.
class ByIndex final : public Iterator {
 public:
  ByIndex(Heap& heap, Value source, std::int64_t length, bool backwards)
      : Iterator(heap, source.depth() + 1),
        source_(std::move(source)),
        length_(length),
        backwards_(backwards) {}

  base::Result<std::optional<Value>> Next(Runtime&) override {
    if (done_ >= length_) return std::optional<Value>();
    const std::int64_t index = backwards_ ? length_ - 1 - done_ : done_;
    ++done_;
    return std::optional(At(index));
  }

 private:
  Value At(std::int64_t index) const {
    const auto place = static_cast<std::size_t>(index);
    switch (source_.kind()) {
      case Kind::kList:
      case Kind::kTuple:
        return Items(source_)[place];
      case Kind::kDict:
        return source_.as<Dict>().entries()[place].first;
      case Kind::kRange:
        return Value::Int(source_.as<Range>().At(index));
      default:
        return source_.as<View>().At(place);
    }
  }

  Value source_;
  std::int64_t length_;
  std::int64_t done_ = 0;
  bool backwards_;
};

class Characters final : public Iterator {
 public:
  Characters(Heap& heap, Value source, bool backwards)
      : Iterator(heap, 1),
        source_(std::move(source)),
        offset_(backwards ? Text(source_).size() : 0),
        backwards_(backwards) {}

  base::Result<std::optional<Value>> Next(Runtime&) override {
    const std::string& text = Text(source_);
    if (offset_ == (backwards_ ? 0 : text.size())) return std::optional<Value>();
    const std::size_t old = offset_;
    if (backwards_) {
      offset_ = PreviousCodePoint(text, offset_);
    } else {
      NextCodePoint(text, offset_);
    }
    const std::size_t start = std::min(old, offset_), end = std::max(old, offset_);
    return std::optional(MakeString(heap(), text.substr(start, end - start)));
  }

 private:
  Value source_;
  std::size_t offset_;
  bool backwards_;
};

tl::unexpected<base::Error> NotIterable(const Value& value) {
  return Fault("'" + std::string(TypeName(value)) + "' object is not iterable");
}

}  // namespace

bool IsIterable(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
    case Kind::kRange:
    case Kind::kView:
    case Kind::kIterator:
    case Kind::kLoop:
      return true;
    default:
      return false;
  }
}

base::Result<std::int64_t> Length(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      return value.as<String>().length();
    case Kind::kList:
    case Kind::kTuple:
      return static_cast<std::int64_t>(Items(value).size());
    case Kind::kDict:
      return static_cast<std::int64_t>(value.as<Dict>().entries().size());
    case Kind::kView:
      return static_cast<std::int64_t>(value.as<View>().dict().entries().size());
    case Kind::kRange:
      return value.as<Range>().length();
    default:
      return Fault("object of type '" + std::string(TypeName(value)) + "' has no len()");
  }
}

base::Result<Ref<Iterator>> Iterate(Runtime& runtime, const Value& value) {
  Heap& heap = runtime.heap();
  if (value.is(Kind::kIterator)) return Ref<Iterator>(&value.as<Iterator>());
  if (value.is(Kind::kString)) return Ref<Iterator>(new Characters(heap, value, false));
  if (!IsIterable(value) || value.is(Kind::kLoop)) return NotIterable(value);
  CLOISTER_ASSIGN_OR_RETURN(const std::int64_t length, Length(value));
  return Ref<Iterator>(new ByIndex(heap, value, length, false));
}

base::Result<Ref<Iterator>> IterateBackwards(Runtime& runtime, const Value& value) {
  if (value.is(Kind::kString)) {
    return Ref<Iterator>(new Characters(runtime.heap(), value, true));
  }
  const base::Result<std::int64_t> length = Length(value);
  if (!length || value.is(Kind::kLoop)) {
    return Fault("'" + std::string(TypeName(value)) + "' object is not reversible");
  }
  return Ref<Iterator>(new ByIndex(runtime.heap(), value, *length, true));
}

base::Result<std::vector<Value>> Collect(Runtime& runtime, const Value& value) {
  if (IsSequence(value)) {
    runtime.heap().Spend(Items(value).size() / 8);
    CLOISTER_RETURN_IF_ERROR(runtime.heap().Admit(Items(value).size() * sizeof(Value)));
    return Items(value);
  }
  CLOISTER_ASSIGN_OR_RETURN(const Ref<Iterator> iterator, Iterate(runtime, value));
  std::vector<Value> items;
  while (true) {
    runtime.heap().Spend(1);
    CLOISTER_RETURN_IF_ERROR(runtime.heap().Check());
    if (items.size() == items.capacity()) {  // it doubles
      CLOISTER_RETURN_IF_ERROR(runtime.heap().Admit(3 * items.size() * sizeof(Value)));
    }
    CLOISTER_ASSIGN_OR_RETURN(std::optional<Value> item, iterator->Next(runtime));
    if (!item) return items;
    items.push_back(*std::move(item));
  }
}

base::Result<bool> Contains(Runtime& runtime, const Value& container, const Value& value) {
  if (!container.is(Kind::kIterator)) return ContainedIn(value, container);
  auto& iterator = container.as<Iterator>();
  while (true) {
    runtime.heap().Spend(1);
    CLOISTER_RETURN_IF_ERROR(runtime.heap().Check());
    CLOISTER_ASSIGN_OR_RETURN(const std::optional<Value> item, iterator.Next(runtime));
    if (!item) return false;
    if (Equal(*item, value)) return true;
  }
}

}  // namespace cloister::model::jinja
