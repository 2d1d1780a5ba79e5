#include "model/jinja/access.h"

#include <algorithm>

#include "model/jinja/ast.h"
#include "model/jinja/callables.h"
#include "model/jinja/loop.h"
#include "model/jinja/methods.h"
#include "model/jinja/numbers.h"
#include "model/jinja/unicode.h"

namespace cloister::model::jinja {
namespace {

Value Unsafe(Heap& heap, const Value& object, std::string_view name) {
  return MakeUndefined(heap, "access to attribute '" + std::string(name) + "' of '" +
                                 std::string(TypeName(object)) +
                                 "' object is unsafe: templates cannot change lists and dicts");
}

bool Changes(const Value& object, std::string_view name) {
  return (object.is(Kind::kList) && ChangesList(name)) ||
         (object.is(Kind::kDict) && ChangesDict(name));
}

base::Result<Value> NextOfCycler(Runtime&, const Value& self, Arguments&) {
  Value current = self.as<Cycler>().current();
  self.as<Cycler>().Advance();
  return current;
}

base::Result<Value> ResetCycler(Runtime&, const Value& self, Arguments&) {
  self.as<Cycler>().Reset();
  return Value::None();
}

Value CyclerAttribute(Heap& heap, const Value& object, std::string_view name) {
  const auto& cycler = object.as<Cycler>();
  if (name == "current") return cycler.current();
  if (name == "items") return cycler.items();
  if (name == "next") return Value(new Method(heap, object, NextOfCycler));
  if (name == "reset") return Value(new Method(heap, object, ResetCycler));
  return {};
}

Value MacroAttribute(Heap& heap, const Macro& macro, std::string_view name) {
  const MacroNode& node = macro.node();
  if (name == "name") {
    return macro.name().empty() ? Value::None() : MakeString(heap, std::string(macro.name()));
  }
  if (name == "arguments") {
    std::vector<Value> names;
    for (const auto& parameter : node.parameters) {
      names.push_back(MakeString(heap, parameter.name));
    }
    return MakeTuple(heap, std::move(names));
  }
  if (name == "caller") return Value::Bool(node.caller_slot >= 0);
  if (name == "explicit_caller") {
    return Value::Bool(std::any_of(
        node.parameters.begin(), node.parameters.end(),
        [](const MacroNode::Parameter& parameter) { return parameter.name == "caller"; }));
  }
  if (name == "catch_kwargs") return Value::Bool(node.kwargs_slot >= 0);
  if (name == "catch_varargs") return Value::Bool(node.varargs_slot >= 0);
  return {};
}

Value RangeAttribute(const Range& range, std::string_view name) {
  if (name == "start") return Value::Int(range.start());
  if (name == "stop") return Value::Int(range.stop());
  if (name == "step") return Value::Int(range.step());
  return {};
}

Value NumberAttribute(const Value& number, std::string_view name) {
  const bool integral = number.is_integral();
  Value real = integral ? Value::Int(number.integer()) : number;
  if (name == "real" || (integral && name == "numerator")) return real;
  if (name == "imag") return integral ? Value::Int(0) : Value::Float(0);
  if (integral && name == "denominator") return Value::Int(1);
  return {};
}

// Where `index` lies in a sequence of `length`, or -1.
std::int64_t Place(std::int64_t index, std::int64_t length) {
  if (index < 0) index += length;
  return index >= 0 && index < length ? index : -1;
}

Value CharacterAt(Heap& heap, const String& string, std::int64_t index) {
  const std::int64_t place = Place(index, string.length());
  if (place < 0) return {};
  const std::string& text = string.text();
  std::size_t start = static_cast<std::size_t>(place);
  if (!string.ascii()) {
    heap.SpendLook(text.size());
    start = OffsetOf(text, start);
  }
  std::size_t end = start;
  NextCodePoint(text, end);
  return MakeString(heap, text.substr(start, end - start), string.markup());
}

// The item alone; kMissing where there is none.
base::Result<Value> FindItem(Runtime& runtime, const Value& object, const Value& key) {
  switch (object.kind()) {
    case Kind::kUndefined:
      return UndefinedFault(object);
    case Kind::kDict: {
      if (!CheckHashable(key)) return Value();
      const Value* found = object.as<Dict>().Find(key);
      return found != nullptr ? *found : Value();
    }
    case Kind::kList:
    case Kind::kTuple: {
      if (!key.is_integral()) return Value();
      const auto place = Place(key.integer(), static_cast<std::int64_t>(Items(object).size()));
      return place < 0 ? Value() : Items(object)[static_cast<std::size_t>(place)];
    }
    case Kind::kString:
      if (!key.is_integral()) return Value();
      return CharacterAt(runtime.heap(), object.as<String>(), key.integer());
    case Kind::kRange: {
      if (!key.is_integral()) return Value();
      const auto place = Place(key.integer(), object.as<Range>().length());
      return place < 0 ? Value() : Value::Int(object.as<Range>().At(place));
    }
    default:
      return Value();
  }
}

struct Bounds {
  std::int64_t start, stop, step, count;
};

// Python's slice.indices: the places that a slice of a sequence of `length` takes.
base::Result<Bounds> Resolve(const Value& start, const Value& stop, const Value& step,
                             std::int64_t length) {
  for (const Value* part : {&start, &stop, &step}) {
    if (!part->is(Kind::kNone) && !part->is_integral()) {
      return Fault("slice indices must be integers or None");
    }
  }
  Bounds bounds{};
  bounds.step = step.is(Kind::kNone) ? 1 : step.integer();
  if (bounds.step == 0) return Fault("slice step cannot be zero");
  // A step past either end is as good as any larger one.
  bounds.step = std::clamp(bounds.step, -length - 1, length + 1);
  const std::int64_t low = bounds.step < 0 ? -1 : 0;
  const std::int64_t high = bounds.step < 0 ? length - 1 : length;
  const auto place = [&](const Value& part, std::int64_t otherwise) {
    if (part.is(Kind::kNone)) return otherwise;
    const std::int64_t index = part.integer();
    return index < 0 ? std::max(index + length, low) : std::min(index, high);
  };
  bounds.start = place(start, bounds.step < 0 ? high : low);
  bounds.stop = place(stop, bounds.step < 0 ? low : high);
  if (bounds.step > 0 && bounds.start < bounds.stop) {
    bounds.count = (bounds.stop - bounds.start - 1) / bounds.step + 1;
  } else if (bounds.step < 0 && bounds.stop < bounds.start) {
    bounds.count = (bounds.start - bounds.stop - 1) / -bounds.step + 1;
  }
  return bounds;
}

base::Result<std::string> SliceText(const String& string, const Bounds& bounds) {
  const std::string& text = string.text();
  if (bounds.count == 0) return std::string();
  if (bounds.step == 1) {
    const auto start = static_cast<std::size_t>(bounds.start);
    const auto count = static_cast<std::size_t>(bounds.count);
    if (string.ascii()) return text.substr(start, count);
    string.heap().SpendLook(text.size());
    const std::size_t offset = OffsetOf(text, start);
    return text.substr(offset, OffsetOf(std::string_view(text).substr(offset), count));
  }
  string.heap().SpendLook(3 * text.size());
  CLOISTER_RETURN_IF_ERROR(string.heap().Check());
  std::string result;
  if (string.ascii()) {
    for (std::int64_t i = 0, at = bounds.start; i < bounds.count; ++i, at += bounds.step) {
      result += text[static_cast<std::size_t>(at)];
    }
    return result;
  }
  CLOISTER_RETURN_IF_ERROR(string.heap().Admit((text.size() + 1) * sizeof(std::size_t)));
  std::vector<std::size_t> offsets;
  offsets.reserve(static_cast<std::size_t>(string.length()) + 1);
  for (std::size_t offset = 0; offset < text.size();) {
    offsets.push_back(offset);
    NextCodePoint(text, offset);
  }
  offsets.push_back(text.size());
  for (std::int64_t i = 0, at = bounds.start; i < bounds.count; ++i, at += bounds.step) {
    const auto place = static_cast<std::size_t>(at);
    result.append(text, offsets[place], offsets[place + 1] - offsets[place]);
  }
  return result;
}

Value SliceItems(Heap& heap, const Value& object, const Bounds& bounds) {
  std::vector<Value> items;
  items.reserve(static_cast<std::size_t>(bounds.count));
  for (std::int64_t i = 0, at = bounds.start; i < bounds.count; ++i, at += bounds.step) {
    items.push_back(Items(object)[static_cast<std::size_t>(at)]);
  }
  return object.is(Kind::kList) ? MakeList(heap, std::move(items))
                                : MakeTuple(heap, std::move(items));
}

}  // namespace

Operation FindMethod(const Value& object, std::string_view name) {
  switch (object.kind()) {
    case Kind::kString:
      return FindOperation(StringMethods(), name);
    case Kind::kDict:
      return FindOperation(DictMethods(), name);
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kRange:
      return name == "copy" && !object.is(Kind::kList) ? nullptr
                                                       : FindOperation(SequenceMethods(), name);
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kFloat:
      return (name == "is_integer") == object.is(Kind::kFloat)
                 ? FindOperation(NumberMethods(), name)
                 : nullptr;
    default:
      return nullptr;
  }
}

base::Result<Value> FindAttribute(Runtime& runtime, const Value& object, std::string_view name) {
  Heap& heap = runtime.heap();
  if (const Operation method = FindMethod(object, name)) {
    return Value(new Method(heap, object, method));
  }
  if (Changes(object, name)) return Unsafe(heap, object, name);
  switch (object.kind()) {
    case Kind::kUndefined:
      return UndefinedFault(object);
    case Kind::kTuple:
      if (!object.as<List>().group()) return Value();
      return name == "grouper" ? Items(object)[0] : name == "list" ? Items(object)[1] : Value();
    case Kind::kNamespace: {
      const Value* found = object.as<Namespace>().Find(name);
      return found != nullptr ? *found : Value();
    }
    case Kind::kLoop:
      return object.as<Loop>().Attribute(runtime, name);
    case Kind::kMacro:
      return MacroAttribute(heap, object.as<Macro>(), name);
    case Kind::kCycler:
      return CyclerAttribute(heap, object, name);
    case Kind::kRange:
      return RangeAttribute(object.as<Range>(), name);
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kFloat:
      return NumberAttribute(object, name);
    case Kind::kFunction:
      if (object.as<Function>().name() != "dict" || name != "fromkeys") return Value();
      return Value(new Method(heap, object, DictFromKeys));
    default:
      return Value();
  }
}

base::Result<Value> GetAttribute(Runtime& runtime, const Value& object, std::string_view name) {
  CLOISTER_ASSIGN_OR_RETURN(Value attribute, FindAttribute(runtime, object, name));
  if (!attribute.missing()) return attribute;
  if (object.is(Kind::kDict)) {
    if (const Value* item = object.as<Dict>().Find(name)) return *item;
  }
  return UndefinedAttribute(runtime.heap(), object, name);
}

base::Result<Value> GetItem(Runtime& runtime, const Value& object, const Value& key) {
  CLOISTER_ASSIGN_OR_RETURN(Value item, FindItem(runtime, object, key));
  if (!item.missing()) return item;
  if (key.is(Kind::kString)) {
    CLOISTER_ASSIGN_OR_RETURN(Value attribute, FindAttribute(runtime, object, Text(key)));
    if (!attribute.missing()) return attribute;
    return UndefinedAttribute(runtime.heap(), object, Text(key));
  }
  return MakeUndefined(runtime.heap(),
                       std::string(TypeName(object)) + " object has no element " +
                           (key.is_integral() ? std::to_string(key.integer()) : "of this key"));
}

base::Result<Value> GetSlice(Runtime& runtime, const Value& object, const Value& start,
                             const Value& stop, const Value& step) {
  if (object.is(Kind::kUndefined)) return UndefinedFault(object);
  const bool sliceable = object.is(Kind::kString) || IsSequence(object) || object.is(Kind::kRange);
  if (!sliceable) {
    return Fault("'" + std::string(TypeName(object)) + "' object cannot be sliced");
  }
  std::int64_t length = 0;
  if (object.is(Kind::kString)) {
    length = object.as<String>().length();
  } else if (object.is(Kind::kRange)) {
    length = object.as<Range>().length();
  } else {
    length = static_cast<std::int64_t>(Items(object).size());
  }
  CLOISTER_ASSIGN_OR_RETURN(const Bounds bounds, Resolve(start, stop, step, length));
  if (object.is(Kind::kString)) {
    const auto& string = object.as<String>();
    CLOISTER_RETURN_IF_ERROR(runtime.heap().Admit(2 * string.text().size()));
    CLOISTER_ASSIGN_OR_RETURN(std::string text, SliceText(string, bounds));
    return MakeString(runtime.heap(), std::move(text), string.markup());
  }
  if (object.is(Kind::kRange)) {
    const auto& range = object.as<Range>();
    return Value(new Range(runtime.heap(), range.At(bounds.start), range.At(bounds.stop),
                           range.step() * bounds.step));
  }
  CLOISTER_RETURN_IF_ERROR(
      runtime.heap().Admit(static_cast<std::uint64_t>(bounds.count) * sizeof(Value)));
  return SliceItems(runtime.heap(), object, bounds);
}

}  // namespace cloister::model::jinja
