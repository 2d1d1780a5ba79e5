#include <algorithm>

#include "model/jinja/brace_format.h"
#include "model/jinja/iterators.h"
#include "model/jinja/methods.h"
#include "model/jinja/numbers.h"
#include "model/jinja/string_classes.h"
#include "model/jinja/text_layout.h"
#include "model/jinja/text_search.h"
#include "model/jinja/text_sink.h"
#include "model/jinja/unicode.h"

namespace cloister::model::jinja {
namespace {

constexpr std::size_t kNone = std::string_view::npos;

// A string made of `self`: markup where that is.
Value Made(Runtime& runtime, const Value& self, std::string text) {
  return MakeString(runtime.heap(), std::move(text), self.as<String>().markup());
}

base::Result<std::string_view> StringArgument(const Value& value) {
  if (value.is(Kind::kString)) return std::string_view(Text(value));
  if (value.is(Kind::kUndefined)) return UndefinedFault(value);
  return Fault("must be str, not " + std::string(TypeName(value)));
}

// A count that is negative or left out is no limit.
base::Result<std::optional<std::size_t>> MostArgument(const Value& value) {
  if (value.missing()) return std::optional<std::size_t>();
  CLOISTER_ASSIGN_OR_RETURN(const std::int64_t most, AsInteger(value));
  return most < 0 ? std::optional<std::size_t>() : static_cast<std::size_t>(most);
}

// Room for the views and then the strings of so many pieces.
base::Status AdmitPieces(Heap& heap, std::size_t pieces) {
  return heap.Admit(pieces * (2 * sizeof(std::string_view) + sizeof(Value) + sizeof(String)));
}

base::Result<Value> MakePieces(Runtime& runtime, const Value& self, const Pieces& pieces) {
  std::vector<Value> items;
  items.reserve(pieces.size());
  for (const std::string_view piece : pieces) {
    items.push_back(Made(runtime, self, std::string(piece)));
    CLOISTER_RETURN_IF_ERROR(runtime.heap().Check());
  }
  return MakeList(runtime.heap(), std::move(items));
}

template <std::string (*change)(std::string_view)>
base::Result<Value> Change(Runtime& runtime, const Value& self, Arguments& arguments) {
  CLOISTER_RETURN_IF_ERROR(Bind("a method of strings", {}, 0, arguments));
  CLOISTER_RETURN_IF_ERROR(runtime.heap().Admit(4 * Text(self).size()));
  return Made(runtime, self, change(Text(self)));
}

template <bool (*is)(std::string_view)>
base::Result<Value> Ask(Runtime&, const Value& self, Arguments& arguments) {
  CLOISTER_RETURN_IF_ERROR(Bind("a method of strings", {}, 0, arguments));
  return Value::Bool(is(Text(self)));
}

template <Ends ends>
base::Result<Value> StripMethod(Runtime& runtime, const Value& self, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("strip", {"chars"}, 0, arguments));
  if (bound[0].missing() || bound[0].is(Kind::kNone)) {
    return Made(runtime, self, std::string(Strip(Text(self), ends)));
  }
  CLOISTER_ASSIGN_OR_RETURN(const std::string_view characters, StringArgument(bound[0]));
  runtime.heap().Spend(characters.size());  // they are sorted
  return Made(runtime, self, std::string(StripOf(Text(self), characters, ends)));
}

template <bool from_right>
base::Result<Value> SplitMethod(Runtime& runtime, const Value& self, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("split", {"sep", "maxsplit"}, 0, arguments));
  CLOISTER_ASSIGN_OR_RETURN(const auto most, MostArgument(bound[1]));
  const std::string_view text = Text(self);
  if (bound[0].missing() || bound[0].is(Kind::kNone)) {
    CLOISTER_RETURN_IF_ERROR(AdmitPieces(runtime.heap(), CountAtSpace(text)));
    return MakePieces(runtime, self,
                      from_right ? SplitAtSpaceFromRight(text, most) : SplitAtSpace(text, most));
  }
  CLOISTER_ASSIGN_OR_RETURN(const std::string_view separator, StringArgument(bound[0]));
  if (separator.empty()) return Fault("empty separator");
  CLOISTER_RETURN_IF_ERROR(AdmitPieces(runtime.heap(), CountOf(text, separator) + 1));
  return MakePieces(
      runtime, self,
      from_right ? SplitFromRight(text, separator, most) : Split(text, separator, most));
}

base::Result<Value> SplitLinesMethod(Runtime& runtime, const Value& self, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("splitlines", {"keepends"}, 0, arguments));
  CLOISTER_RETURN_IF_ERROR(AdmitPieces(runtime.heap(), CountLines(Text(self))));
  return MakePieces(runtime, self, SplitLines(Text(self), Truth(bound[0])));
}

template <bool from_right>
base::Result<Value> Partition(Runtime& runtime, const Value& self, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("partition", {"sep"}, 1, arguments));
  CLOISTER_ASSIGN_OR_RETURN(const std::string_view separator, StringArgument(bound[0]));
  if (separator.empty()) return Fault("empty separator");
  const std::string_view text = Text(self);
  const std::size_t found =
      from_right ? FindLastBytes(text, separator) : FindBytes(text, separator, 0);
  std::string_view parts[3] = {text, "", ""};
  if (found != kNone) {
    parts[0] = text.substr(0, found);
    parts[1] = separator;
    parts[2] = text.substr(found + separator.size());
  } else if (from_right) {
    std::swap(parts[0], parts[2]);
  }
  std::vector<Value> items;
  for (const auto part : parts) items.push_back(Made(runtime, self, std::string(part)));
  return MakeTuple(runtime.heap(), std::move(items));
}

// The part of a string that the arguments `start` and `stop` name, in code points.
struct Part {
  std::string_view text;
  std::int64_t start = 0;  // of the part in the string
  bool reversed = false;   // start lies behind stop or the end: nothing is there, not even ""
};

base::Result<Part> PartOf(const Value& self, const Value& start, const Value& stop) {
  const auto& string = self.as<String>();
  const std::int64_t length = string.length();
  std::int64_t bounds[2] = {0, length};
  const Value* given[2] = {&start, &stop};
  for (int i = 0; i < 2; ++i) {
    if (given[i]->missing() || given[i]->is(Kind::kNone)) continue;
    CLOISTER_ASSIGN_OR_RETURN(bounds[i], AsInteger(*given[i]));
    if (bounds[i] < 0) bounds[i] = std::max<std::int64_t>(0, bounds[i] + length);
  }
  Part part{{}, bounds[0], bounds[0] > length || bounds[0] > bounds[1]};
  if (part.reversed) return part;
  bounds[1] = std::min(bounds[1], length);
  std::string_view text = string.text();
  if (string.ascii()) {
    part.text = text.substr(static_cast<std::size_t>(bounds[0]),
                            static_cast<std::size_t>(bounds[1] - bounds[0]));
    return part;
  }
  text.remove_prefix(OffsetOf(text, static_cast<std::size_t>(bounds[0])));
  part.text = text.substr(0, OffsetOf(text, static_cast<std::size_t>(bounds[1] - bounds[0])));
  return part;
}

template <bool last, bool must_be_there>
base::Result<Value> FindMethodOf(Runtime&, const Value& self, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("find", {"sub", "start", "stop"}, 1, arguments));
  CLOISTER_ASSIGN_OR_RETURN(const std::string_view wanted, StringArgument(bound[0]));
  CLOISTER_ASSIGN_OR_RETURN(const Part part, PartOf(self, bound[1], bound[2]));
  std::size_t found = kNone;
  if (!part.reversed) {
    found = last ? FindLastBytes(part.text, wanted) : FindBytes(part.text, wanted, 0);
  }
  if (found != kNone) {
    return Value::Int(part.start +
                      static_cast<std::int64_t>(CountCodePoints(part.text.substr(0, found))));
  }
  if (must_be_there) return Fault("substring not found");
  return Value::Int(-1);
}

base::Result<Value> Count(Runtime&, const Value& self, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound,
                            Bind("count", {"sub", "start", "stop"}, 1, arguments));
  CLOISTER_ASSIGN_OR_RETURN(const std::string_view wanted, StringArgument(bound[0]));
  CLOISTER_ASSIGN_OR_RETURN(const Part part, PartOf(self, bound[1], bound[2]));
  if (part.reversed) return Value::Int(0);
  return Value::Int(static_cast<std::int64_t>(CountOf(part.text, wanted)));
}

template <bool at_start>
base::Result<Value> Affix(Runtime& runtime, const Value& self, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind(at_start ? "startswith" : "endswith",
                                                   {"affix", "start", "stop"}, 1, arguments));
  Part part{Text(self), 0, false};
  if (!bound[1].missing() || !bound[2].missing()) {
    CLOISTER_ASSIGN_OR_RETURN(part, PartOf(self, bound[1], bound[2]));
  }
  const std::vector<Value> affixes =
      bound[0].is(Kind::kTuple) ? Items(bound[0]) : std::vector<Value>{bound[0]};
  for (const Value& affix : affixes) {
    CLOISTER_ASSIGN_OR_RETURN(const std::string_view wanted, StringArgument(affix));
    if (part.reversed) continue;
    runtime.heap().SpendBytes(wanted.size());
    CLOISTER_RETURN_IF_ERROR(runtime.heap().Check());
    if (at_start ? part.text.starts_with(wanted) : part.text.ends_with(wanted)) {
      return Value::Bool(true);
    }
  }
  return Value::Bool(false);
}

template <bool at_start>
base::Result<Value> RemoveAffix(Runtime& runtime, const Value& self, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("removeprefix", {"affix"}, 1, arguments));
  CLOISTER_ASSIGN_OR_RETURN(const std::string_view affix, StringArgument(bound[0]));
  std::string_view text = Text(self);
  if (at_start && text.starts_with(affix)) text.remove_prefix(affix.size());
  if (!at_start && text.ends_with(affix)) text.remove_suffix(affix.size());
  return Made(runtime, self, std::string(text));
}

base::Result<Value> ReplaceMethod(Runtime& runtime, const Value& self, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound,
                            Bind("replace", {"old", "new", "count"}, 2, arguments));
  CLOISTER_ASSIGN_OR_RETURN(const std::string_view from, StringArgument(bound[0]));
  CLOISTER_ASSIGN_OR_RETURN(std::string_view to, StringArgument(bound[1]));
  CLOISTER_ASSIGN_OR_RETURN(const auto most, MostArgument(bound[2]));
  std::string escaped;
  if (self.as<String>().markup() && !bound[1].as<String>().markup()) {
    CLOISTER_RETURN_IF_ERROR(runtime.heap().Admit(6 * to.size()));
    to = escaped = Escape(to);
  }
  CLOISTER_ASSIGN_OR_RETURN(std::string text,
                            ReplaceWithin(runtime.heap(), Text(self), from, to, most));
  return Made(runtime, self, std::move(text));
}

base::Result<Value> Join(Runtime& runtime, const Value& self, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("join", {"iterable"}, 1, arguments));
  CLOISTER_ASSIGN_OR_RETURN(const auto items, Collect(runtime, bound[0]));
  const bool markup = self.as<String>().markup();
  std::string text;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (!items[i].is(Kind::kString)) {
      return Fault("sequence item " + std::to_string(i) + ": expected str instance, " +
                   std::string(TypeName(items[i])) + " found");
    }
    const bool escaped = markup && !items[i].as<String>().markup();
    const std::size_t bytes = Text(self).size() + (escaped ? 5 : 1) * Text(items[i]).size();
    runtime.heap().SpendBytes(bytes);
    CLOISTER_RETURN_IF_ERROR(runtime.heap().Check());
    CLOISTER_RETURN_IF_ERROR(MakeRoom(runtime.heap(), text, bytes));
    if (i > 0) text += Text(self);
    text += escaped ? Escape(Text(items[i])) : Text(items[i]);
  }
  return Made(runtime, self, std::move(text));
}

template <Alignment alignment>
base::Result<Value> Align(Runtime& runtime, const Value& self, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("center", {"width", "fillchar"}, 1, arguments));
  CLOISTER_ASSIGN_OR_RETURN(const std::int64_t width, AsInteger(bound[0]));
  std::string_view fill = " ";
  if (!bound[1].missing()) {
    CLOISTER_ASSIGN_OR_RETURN(fill, StringArgument(bound[1]));
    if (CountCodePoints(fill) != 1) return Fault("the fill character must be one character long");
  }
  CLOISTER_ASSIGN_OR_RETURN(std::string text,
                            Aligned(runtime.heap(), Text(self), width, fill, alignment));
  return Made(runtime, self, std::move(text));
}

base::Result<Value> ZeroFill(Runtime& runtime, const Value& self, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("zfill", {"width"}, 1, arguments));
  CLOISTER_ASSIGN_OR_RETURN(const std::int64_t width, AsInteger(bound[0]));
  CLOISTER_ASSIGN_OR_RETURN(std::string text,
                            Aligned(runtime.heap(), Text(self), width, "0", Alignment::kRight));
  const std::size_t zeros = text.size() - Text(self).size();
  const bool has_sign = zeros < text.size() && (text[zeros] == '+' || text[zeros] == '-');
  if (zeros > 0 && has_sign) std::swap(text[0], text[zeros]);
  return Made(runtime, self, std::move(text));
}

base::Result<Value> ExpandTabs(Runtime& runtime, const Value& self, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("expandtabs", {"tabsize"}, 0, arguments));
  std::int64_t size = 8;
  if (!bound[0].missing()) {
    CLOISTER_ASSIGN_OR_RETURN(size, AsInteger(bound[0]));
  }
  CLOISTER_ASSIGN_OR_RETURN(std::string text, TabsExpanded(runtime.heap(), Text(self), size));
  return Made(runtime, self, std::move(text));
}

base::Result<Value> Format(Runtime& runtime, const Value& self, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(std::string text, BraceFormat(runtime, self, arguments));
  return Made(runtime, self, std::move(text));
}

base::Result<Value> FormatMap(Runtime& runtime, const Value& self, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("format_map", {"mapping"}, 1, arguments));
  if (!bound[0].is(Kind::kDict)) return Fault("format_map() takes a dict");
  Arguments named;
  for (const auto& [key, value] : bound[0].as<Dict>().entries()) {
    if (!key.is(Kind::kString)) continue;
    CLOISTER_RETURN_IF_ERROR(runtime.heap().Admit(Text(key).size()));
    named.named.emplace_back(Text(key), value);
  }
  return Format(runtime, self, named);
}

}  // namespace

Operations StringMethods() {
  static constexpr NamedOperation kMethods[] = {
      {"capitalize", {Change<Capitalize>, Price::kProperties}},
      {"casefold", {Change<Casefold>, Price::kProperties}},
      {"center", Align<Alignment::kCenter>},
      {"count", Count},
      {"endswith", Affix<false>},
      {"expandtabs", ExpandTabs},
      {"find", FindMethodOf<false, false>},
      {"format", Format},
      {"format_map", FormatMap},
      {"index", FindMethodOf<false, true>},
      {"isalnum", {Ask<IsAlnumText>, Price::kProperties}},
      {"isalpha", {Ask<IsAlphaText>, Price::kProperties}},
      {"isascii", Ask<IsAsciiText>},
      {"isdecimal", {Ask<IsDecimalText>, Price::kProperties}},
      {"isdigit", {Ask<IsDigitText>, Price::kProperties}},
      {"isidentifier", {Ask<IsIdentifierText>, Price::kProperties}},
      {"islower", {Ask<IsLowerText>, Price::kProperties}},
      {"isnumeric", {Ask<IsNumericText>, Price::kProperties}},
      {"isprintable", {Ask<IsPrintableText>, Price::kProperties}},
      {"isspace", Ask<IsSpaceText>},
      {"istitle", {Ask<IsTitleText>, Price::kProperties}},
      {"isupper", {Ask<IsUpperText>, Price::kProperties}},
      {"join", Join},
      {"ljust", Align<Alignment::kLeft>},
      {"lower", {Change<Lower>, Price::kProperties}},
      {"lstrip", StripMethod<Ends::kLeft>},
      {"partition", Partition<false>},
      {"removeprefix", RemoveAffix<true>},
      {"removesuffix", RemoveAffix<false>},
      {"replace", ReplaceMethod},
      {"rfind", FindMethodOf<true, false>},
      {"rindex", FindMethodOf<true, true>},
      {"rjust", Align<Alignment::kRight>},
      {"rpartition", Partition<true>},
      {"rsplit", SplitMethod<true>},
      {"rstrip", StripMethod<Ends::kRight>},
      {"split", SplitMethod<false>},
      {"splitlines", SplitLinesMethod},
      {"startswith", Affix<true>},
      {"strip", StripMethod<Ends::kBoth>},
      {"swapcase", {Change<SwapCase>, Price::kCaseMapping}},
      {"title", {Change<TitleCase>, Price::kCaseMapping}},
      {"upper", {Change<Upper>, Price::kProperties}},
      {"zfill", ZeroFill},
  };
  static_assert(IsSorted(kMethods));
  return kMethods;
}

}  // namespace cloister::model::jinja
