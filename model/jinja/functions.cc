#include "model/jinja/callables.h"
#include "model/jinja/date_text.h"
#include "model/jinja/iterators.h"
#include "model/jinja/methods.h"
#include "model/jinja/numbers.h"
#include "model/jinja/registry.h"
#include "model/jinja/text_of.h"

namespace cloister::model::jinja {
namespace {

constexpr std::int64_t kMostOfRange = 100'000;  // as in Jinja's sandbox
constexpr std::int64_t kRangeBound = std::int64_t{1} << 40;

base::Result<Value> RangeFunction(Runtime& runtime, const Value&, Arguments& arguments) {
  if (!arguments.named.empty()) return Fault("range() takes no keyword arguments");
  CLOISTER_ASSIGN_OR_RETURN(const auto bound,
                            Bind("range", {"start", "stop", "step"}, 1, arguments));
  std::int64_t parts[3] = {0, 0, 1};
  const bool stop_alone = bound[1].missing();
  for (std::size_t i = 0; i < arguments.positional.size(); ++i) {
    std::int64_t& part = stop_alone ? parts[1] : parts[i];
    CLOISTER_ASSIGN_OR_RETURN(part, AsInteger(arguments.positional[i]));
    if (part < -kRangeBound || part > kRangeBound) return Fault("range() of too large a number");
  }
  if (parts[2] == 0) return Fault("range() arg 3 must not be zero");
  const Ref<Range> range(new Range(runtime.heap(), parts[0], parts[1], parts[2]));
  if (range->length() > kMostOfRange) {
    return Fault("range too big: a template's have at most " + std::to_string(kMostOfRange) +
                 " items");
  }
  return Value(range);
}

// dict(mapping or pairs, name=value, …)
base::Result<Value> DictFunction(Runtime& runtime, const Value&, Arguments& arguments) {
  if (arguments.positional.size() > 1) return Fault("dict() takes at most 1 argument");
  std::vector<Dict::Entry> entries;
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (source.is(Kind::kUndefined)) return UndefinedFault(source);
    if (source.is(Kind::kDict)) {
      entries = source.as<Dict>().entries();
    } else {
      CLOISTER_ASSIGN_OR_RETURN(const auto items, Collect(runtime, source));
      for (const Value& item : items) {
        CLOISTER_ASSIGN_OR_RETURN(const auto pair, Collect(runtime, item));
        if (pair.size() != 2) return Fault("dict() needs pairs of a key and a value");
        entries.emplace_back(pair[0], pair[1]);
      }
    }
  }
  for (const auto& [name, value] : arguments.named) {
    entries.emplace_back(MakeString(runtime.heap(), name), value);
  }
  return MakeDict(runtime.heap(), std::move(entries));
}

base::Result<Value> NamespaceFunction(Runtime& runtime, const Value& self, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const Value attributes, DictFunction(runtime, self, arguments));
  const Ref<Namespace> space(new Namespace(runtime.heap()));
  runtime.heap().KeepUntilEnd(space.get());
  for (const auto& [key, value] : attributes.as<Dict>().entries()) {
    if (key.is(Kind::kString) && Text(key).starts_with('_')) {
      return Fault("a namespace's attribute cannot start with an underscore: '" + Text(key) + "'");
    }
    space->Add(key, value);
    CLOISTER_RETURN_IF_ERROR(runtime.heap().Check());
  }
  return Value(space);
}

base::Result<Value> CyclerFunction(Runtime& runtime, const Value&, Arguments& arguments) {
  if (!arguments.named.empty()) return Fault("cycler() takes no keyword arguments");
  if (arguments.positional.empty()) return Fault("cycler() needs at least one item");
  const Value items = MakeTuple(runtime.heap(), std::move(arguments.positional));
  return Value(new Cycler(runtime.heap(), items));
}

base::Result<Value> JoinerFunction(Runtime& runtime, const Value&, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("joiner", {"sep"}, 0, arguments));
  return Value(
      new Joiner(runtime.heap(), bound[0].missing() ? MakeString(runtime.heap(), ", ") : bound[0]));
}

base::Result<Value> RaiseException(Runtime&, const Value&, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("raise_exception", {"message"}, 1, arguments));
  CLOISTER_ASSIGN_OR_RETURN(std::string message, TextOf(bound[0]));
  return base::Fail(base::Code::kInvalidArgument, std::move(message));
}

base::Result<Value> StrftimeNow(Runtime& runtime, const Value&, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("strftime_now", {"format"}, 1, arguments));
  if (!bound[0].is(Kind::kString)) return Fault("strftime_now() needs a format that is a string");
  runtime.heap().SpendBytes(kDateTextBytes);
  CLOISTER_ASSIGN_OR_RETURN(std::string text, DateText(runtime.today(), Text(bound[0])));
  return MakeString(runtime.heap(), std::move(text));
}

base::Result<Value> NotSupported(Runtime&, const Value&, Arguments&) {
  return Fault("lipsum() is not supported in chat templates");
}

// `self` has the template's blocks, of which there are none.
base::Result<Value> NotCallable(Runtime&, const Value&, Arguments&) {
  return Fault("'self' is not callable");
}

}  // namespace

Value MakeGlobal(Heap& heap, std::string_view name) {
  static constexpr NamedOperation kFunctions[] = {
      {"cycler", CyclerFunction},       {"dict", DictFunction},
      {"joiner", JoinerFunction},       {"lipsum", NotSupported},
      {"namespace", NamespaceFunction}, {"raise_exception", RaiseException},
      {"range", RangeFunction},         {"self", NotCallable},
      {"strftime_now", StrftimeNow},
  };
  static_assert(IsSorted(kFunctions));
  const Operation operation = FindOperation(kFunctions, name);
  return operation == nullptr ? Value() : Value(new Function(heap, name, operation));
}

}  // namespace cloister::model::jinja
