#include <algorithm>

#include "model/jinja/filters.h"
#include "model/jinja/iterators.h"
#include "model/jinja/numbers.h"
#include "model/jinja/percent_format.h"
#include "model/jinja/text_layout.h"
#include "model/jinja/text_of.h"
#include "model/jinja/text_search.h"
#include "model/jinja/text_sink.h"
#include "model/jinja/unicode.h"

namespace cloister::model::jinja {
namespace {

// What a filter that takes any value makes its text of: markup stays markup. `value` outlives it.
class Input {
 public:
  static base::Result<Input> Of(const Value& value) {
    if (value.is(Kind::kString)) return Input(&value, {});
    CLOISTER_ASSIGN_OR_RETURN(std::string text, TextOf(value));
    return Input(nullptr, std::move(text));
  }
  const std::string& text() const { return string_ != nullptr ? Text(*string_) : made_; }
  bool markup() const { return string_ != nullptr && string_->as<String>().markup(); }

 private:
  Input(const Value* string, std::string made) : string_(string), made_(std::move(made)) {}

  const Value* string_;
  std::string made_;
};

// What a filter that takes only a string gets.
base::Result<Input> StringInput(std::string_view filter, const Value& value) {
  if (value.is(Kind::kString)) return Input::Of(value);
  if (value.is(Kind::kUndefined)) return UndefinedFault(value);
  return Fault(std::string(filter) + "() needs a string, not " + std::string(TypeName(value)));
}

base::Result<std::string> TextArgument(const Value& value) {
  if (value.is(Kind::kUndefined)) return UndefinedFault(value);
  if (!value.is(Kind::kString)) return Fault("must be str, not " + std::string(TypeName(value)));
  return Text(value);
}

base::Result<std::int64_t> IntegerArgument(const Value& value, std::int64_t otherwise) {
  return value.missing() ? base::Result<std::int64_t>(otherwise) : AsInteger(value);
}

template <std::string (*change)(std::string_view)>
base::Result<Value> Change(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_RETURN_IF_ERROR(Bind("a filter of text", {}, 0, arguments));
  CLOISTER_ASSIGN_OR_RETURN(const Input input, Input::Of(value));
  CLOISTER_RETURN_IF_ERROR(runtime.heap().Admit(3 * input.text().size()));
  return MakeString(runtime.heap(), change(input.text()), input.markup());
}

// Jinja's own: words start behind spaces, hyphens and opening brackets alone.
std::string JinjaTitle(std::string_view text) {
  const auto separates = [](char32_t c) {
    return c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || IsSpace(c);
  };
  std::string result;
  for (std::size_t start = 0; start < text.size();) {
    std::size_t end = start;
    const bool separator = separates(NextCodePoint(text, end));
    const std::size_t first = end;
    for (std::size_t next = end; next < text.size(); end = next) {
      if (separates(NextCodePoint(text, next)) != separator) break;
    }
    result += separator ? std::string(text.substr(start, first - start))
                        : Upper(text.substr(start, first - start));
    result += separator ? std::string(text.substr(first, end - first))
                        : Lower(text.substr(first, end - first));
    start = end;
  }
  return result;
}

base::Result<Value> Center(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("center", {"width"}, 0, arguments));
  CLOISTER_ASSIGN_OR_RETURN(const Input input, Input::Of(value));
  CLOISTER_ASSIGN_OR_RETURN(const std::int64_t width, IntegerArgument(bound[0], 80));
  CLOISTER_ASSIGN_OR_RETURN(std::string text,
                            Aligned(runtime.heap(), input.text(), width, " ", Alignment::kCenter));
  return MakeString(runtime.heap(), std::move(text), input.markup());
}

base::Result<Value> Format(Runtime& runtime, const Value& value, Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.named.empty()) {
    return Fault("format() can't handle positional and keyword arguments at the same time");
  }
  CLOISTER_ASSIGN_OR_RETURN(Input input, Input::Of(value));
  Heap& heap = runtime.heap();
  Value values;
  if (arguments.named.empty()) {
    values = MakeTuple(heap, arguments.positional);
  } else {
    std::vector<Dict::Entry> entries;
    for (const auto& [name, named] : arguments.named) {
      entries.emplace_back(MakeString(heap, name), named);
    }
    CLOISTER_ASSIGN_OR_RETURN(values, MakeDict(heap, std::move(entries)));
  }
  const Value format = MakeString(heap, input.text(), input.markup());
  CLOISTER_ASSIGN_OR_RETURN(std::string text, PercentFormat(runtime, format, values));
  return MakeString(heap, std::move(text), input.markup());
}

// The memory of views of all lines, in a vector that doubles.
std::size_t LinesBytes(std::string_view text) {
  return 3 * CountLines(text) * sizeof(std::string_view);
}

base::Result<Value> Indent(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound,
                            Bind("indent", {"width", "first", "blank"}, 0, arguments));
  CLOISTER_ASSIGN_OR_RETURN(const Input input, StringInput("indent", value));
  Heap& heap = runtime.heap();
  std::string indent;
  if (bound[0].is(Kind::kString)) {
    indent = Text(bound[0]);
  } else {
    CLOISTER_ASSIGN_OR_RETURN(const std::int64_t width, IntegerArgument(bound[0], 4));
    CLOISTER_ASSIGN_OR_RETURN(indent, Repeated(heap, " ", width));
  }
  CLOISTER_RETURN_IF_ERROR(heap.Admit(input.text().size() + 1 + LinesBytes(input.text())));
  const std::string with_end = input.text() + "\n";
  std::string text;
  bool first = true;
  for (const std::string_view line : SplitLines(with_end, false)) {
    CLOISTER_RETURN_IF_ERROR(MakeRoom(heap, text, 1 + indent.size() + line.size()));
    const bool indented = first ? Truth(bound[1]) : Truth(bound[2]) || !line.empty();
    if (!first) text += '\n';
    if (indented) text += indent;
    text += line;
    first = false;
  }
  return MakeString(heap, std::move(text), input.markup());
}

base::Result<Value> ReplaceFilter(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound,
                            Bind("replace", {"old", "new", "count"}, 2, arguments));
  std::optional<std::size_t> most;
  if (!bound[2].missing() && !bound[2].is(Kind::kNone)) {
    CLOISTER_ASSIGN_OR_RETURN(const std::int64_t count, AsInteger(bound[2]));
    if (count >= 0) most = static_cast<std::size_t>(count);
  }
  CLOISTER_ASSIGN_OR_RETURN(const Input text, Input::Of(value));
  CLOISTER_ASSIGN_OR_RETURN(const Input from, Input::Of(bound[0]));
  CLOISTER_ASSIGN_OR_RETURN(const Input to, Input::Of(bound[1]));
  CLOISTER_ASSIGN_OR_RETURN(
      std::string result, ReplaceWithin(runtime.heap(), text.text(), from.text(), to.text(), most));
  return MakeString(runtime.heap(), std::move(result));
}

base::Result<Value> Trim(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("trim", {"chars"}, 0, arguments));
  CLOISTER_ASSIGN_OR_RETURN(const Input input, Input::Of(value));
  std::string_view text = input.text();
  if (bound[0].missing() || bound[0].is(Kind::kNone)) {
    text = Strip(text, Ends::kBoth);
  } else {
    CLOISTER_ASSIGN_OR_RETURN(const std::string characters, TextArgument(bound[0]));
    text = StripOf(text, characters, Ends::kBoth);
  }
  return MakeString(runtime.heap(), std::string(text), input.markup());
}

base::Result<Value> Truncate(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(
      const auto bound, Bind("truncate", {"length", "killwords", "end", "leeway"}, 0, arguments));
  CLOISTER_ASSIGN_OR_RETURN(const std::int64_t length, IntegerArgument(bound[0], 255));
  std::string end = "...";
  if (!bound[2].missing()) {
    CLOISTER_ASSIGN_OR_RETURN(end, TextArgument(bound[2]));
  }
  const bool default_leeway = bound[3].missing() || bound[3].is(Kind::kNone);
  CLOISTER_ASSIGN_OR_RETURN(const std::int64_t leeway,
                            IntegerArgument(default_leeway ? Value() : bound[3], 5));
  const auto end_length = static_cast<std::int64_t>(CountCodePoints(end));
  if (length < end_length) {
    return Fault("truncate(): expected length >= " + std::to_string(end_length));
  }
  if (leeway < 0) return Fault("truncate(): expected leeway >= 0");
  // Whatever has a length is short enough or not; only a string can be cut.
  CLOISTER_ASSIGN_OR_RETURN(const std::int64_t size, Length(value));
  if (size <= leeway || size - leeway <= length) return value;
  CLOISTER_ASSIGN_OR_RETURN(const Input input, StringInput("truncate", value));
  CLOISTER_RETURN_IF_ERROR(runtime.heap().Admit(2 * input.text().size()));
  std::string text =
      input.text().substr(0, OffsetOf(input.text(), static_cast<std::size_t>(length - end_length)));
  if (!Truth(bound[1])) text = text.substr(0, text.rfind(' '));
  return MakeString(runtime.heap(), text + end, input.markup());
}

base::Result<Value> WordWrap(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(
      const auto bound,
      Bind("wordwrap", {"width", "break_long_words", "wrapstring", "break_on_hyphens"}, 0,
           arguments));
  CLOISTER_ASSIGN_OR_RETURN(const Input input, StringInput("wordwrap", value));
  CLOISTER_ASSIGN_OR_RETURN(const std::int64_t width, IntegerArgument(bound[0], 79));
  if (width <= 0) return Fault("wordwrap(): the width must be more than 0");
  WrapOptions options{static_cast<std::size_t>(width), bound[1].missing() || Truth(bound[1]),
                      bound[3].missing() || Truth(bound[3])};
  std::string separator = "\n";
  if (!bound[2].missing() && !bound[2].is(Kind::kNone)) {
    CLOISTER_ASSIGN_OR_RETURN(separator, TextArgument(bound[2]));
  }
  std::string text;
  bool first = true;
  CLOISTER_RETURN_IF_ERROR(runtime.heap().Admit(LinesBytes(input.text())));
  for (const std::string_view line : SplitLines(input.text(), false)) {
    CLOISTER_RETURN_IF_ERROR(MakeRoom(runtime.heap(), text, separator.size()));
    if (!std::exchange(first, false)) text += separator;
    CLOISTER_ASSIGN_OR_RETURN(const std::string wrapped,
                              Wrapped(runtime.heap(), line, options, separator));
    CLOISTER_RETURN_IF_ERROR(MakeRoom(runtime.heap(), text, wrapped.size()));
    text += wrapped;
  }
  return MakeString(runtime.heap(), std::move(text));
}

base::Result<Value> WordCount(Runtime&, const Value& value, Arguments& arguments) {
  CLOISTER_RETURN_IF_ERROR(Bind("wordcount", {}, 0, arguments));
  CLOISTER_ASSIGN_OR_RETURN(const Input input, Input::Of(value));
  std::int64_t count = 0;
  bool inside = false;
  for (std::size_t offset = 0; offset < input.text().size();) {
    const char32_t c = NextCodePoint(input.text(), offset);
    const bool word = c == '_' || IsAlnum(c);
    if (word && !inside) ++count;
    inside = word;
  }
  return Value::Int(count);
}

}  // namespace

Operations TextFilters() {
  static constexpr NamedOperation kFilters[] = {
      {"capitalize", {Change<Capitalize>, Price::kProperties}},
      {"center", Center},
      {"format", Format},
      {"indent", Indent},
      {"lower", {Change<Lower>, Price::kProperties}},
      {"replace", ReplaceFilter},
      {"title", {Change<JinjaTitle>, Price::kCaseMapping}},
      {"trim", Trim},
      {"truncate", Truncate},
      {"upper", {Change<Upper>, Price::kProperties}},
      {"wordcount", {WordCount, Price::kProperties}},
      {"wordwrap", {WordWrap, Price::kCaseMapping}},
  };
  static_assert(IsSorted(kFilters));
  return kFilters;
}

}  // namespace cloister::model::jinja
