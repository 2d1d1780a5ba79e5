#include <array>

#include "model/jinja/filters.h"
#include "model/jinja/iterators.h"
#include "model/jinja/numbers.h"
#include "model/jinja/text_layout.h"
#include "model/jinja/text_of.h"
#include "model/jinja/text_search.h"
#include "model/jinja/text_sink.h"
#include "model/jinja/unicode.h"

namespace cloister::model::jinja {
namespace {

bool IsMarkup(const Value& value) { return value.is(Kind::kString) && value.as<String>().markup(); }

base::Result<std::string> Escaped(Heap& heap, const Value& value) {
  CLOISTER_ASSIGN_OR_RETURN(std::string text, TextOf(value));
  if (IsMarkup(value)) return text;
  CLOISTER_RETURN_IF_ERROR(heap.Admit(kMostEscaped * text.size()));
  return Escape(text);
}

base::Result<Value> EscapeFilter(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_RETURN_IF_ERROR(Bind("escape", {}, 0, arguments));
  CLOISTER_ASSIGN_OR_RETURN(std::string text, Escaped(runtime.heap(), value));
  return MakeString(runtime.heap(), std::move(text), true);
}

base::Result<Value> ForceEscape(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_RETURN_IF_ERROR(Bind("forceescape", {}, 0, arguments));
  CLOISTER_ASSIGN_OR_RETURN(const std::string text, TextOf(value));
  CLOISTER_RETURN_IF_ERROR(runtime.heap().Admit(kMostEscaped * text.size()));
  return MakeString(runtime.heap(), Escape(text), true);
}

base::Result<Value> Safe(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_RETURN_IF_ERROR(Bind("safe", {}, 0, arguments));
  CLOISTER_ASSIGN_OR_RETURN(std::string text, TextOf(value));
  return MakeString(runtime.heap(), std::move(text), true);
}

// Without what lies between `open` and the next `close` behind it, both included.
std::string WithoutSpans(std::string_view text, std::string_view open, std::string_view close) {
  std::string result;
  while (true) {
    const std::size_t start = FindBytes(text, open, 0);
    const std::size_t end = start == std::string_view::npos ? start : FindBytes(text, close, start);
    if (end == std::string_view::npos) return result += text;
    result += text.substr(0, start);
    text.remove_prefix(end + close.size());
  }
}

// Reads an HTML entity between & and ;. Empty for one that is not known.
std::string Entity(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kNames = {
      {{"amp", "&"},
       {"lt", "<"},
       {"gt", ">"},
       {"quot", "\""},
       {"apos", "'"},
       {"nbsp", "\u00a0"},
       {"copy", "\u00a9"},
       {"reg", "\u00ae"},
       {"hellip", "\u2026"}}};
  for (const auto& [known, text] : kNames) {
    if (known == name) return std::string(text);
  }
  if (!name.starts_with('#')) return {};
  name.remove_prefix(1);
  const bool hex = name.starts_with('x') || name.starts_with('X');
  if (hex) name.remove_prefix(1);
  const auto number = ParseInteger(name, hex ? 16 : 10);
  if (!number || *number <= 0 || *number > 0x10ffff || (*number >= 0xd800 && *number <= 0xdfff)) {
    return {};
  }
  std::string text;
  AppendCodePoint(text, static_cast<char32_t>(*number));
  return text;
}

std::string Unescaped(std::string_view text) {
  std::string result;
  while (true) {
    const std::size_t start = text.find('&');
    result += text.substr(0, start);
    if (start == std::string_view::npos) return result;
    text.remove_prefix(start);
    const std::size_t end = text.substr(0, 12).find(';');
    const std::string entity =
        end == std::string_view::npos ? std::string() : Entity(text.substr(1, end - 1));
    result += entity.empty() ? "&" : entity;
    text.remove_prefix(entity.empty() ? 1 : end + 1);
  }
}

base::Result<Value> StripTags(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_RETURN_IF_ERROR(Bind("striptags", {}, 0, arguments));
  CLOISTER_ASSIGN_OR_RETURN(const std::string text, TextOf(value));
  runtime.heap().SpendLook(4 * text.size());
  CLOISTER_RETURN_IF_ERROR(runtime.heap().Check());
  CLOISTER_RETURN_IF_ERROR(runtime.heap().Admit((3 + 2 * sizeof(std::string_view)) * text.size()));
  const std::string plain = WithoutSpans(WithoutSpans(text, "<!--", "-->"), "<", ">");
  std::string result;
  for (const std::string_view word : SplitAtSpace(plain, {})) {
    if (!result.empty()) result += ' ';
    result += word;
  }
  return MakeString(runtime.heap(), Unescaped(result));
}

std::string UrlQuoted(std::string_view text, bool query) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string result;
  for (const char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter || c == '_' || c == '.' || c == '-' || c == '~' || (c == '/' && !query)) {
      result += c;
    } else if (c == ' ' && query) {
      result += '+';
    } else {
      const auto byte = static_cast<unsigned char>(c);
      result += '%';
      result += kHex[byte >> 4];
      result += kHex[byte & 15];
    }
  }
  return result;
}

base::Result<Value> UrlEncode(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_RETURN_IF_ERROR(Bind("urlencode", {}, 0, arguments));
  Heap& heap = runtime.heap();
  if (value.is(Kind::kString) || !IsIterable(value)) {
    CLOISTER_ASSIGN_OR_RETURN(const std::string text, TextOf(value));
    CLOISTER_RETURN_IF_ERROR(heap.Admit(3 * text.size()));
    return MakeString(heap, UrlQuoted(text, false));
  }
  const Value pairs = value.is(Kind::kDict)
                          ? Value(new View(heap, Ref<Dict>(&value.as<Dict>()), View::Part::kItems))
                          : value;
  CLOISTER_ASSIGN_OR_RETURN(const auto items, Collect(runtime, pairs));
  std::string text;
  for (const Value& item : items) {
    CLOISTER_ASSIGN_OR_RETURN(const auto pair, Collect(runtime, item));
    if (pair.size() != 2) return Fault("urlencode() needs pairs of a name and a value");
    CLOISTER_ASSIGN_OR_RETURN(const std::string name, TextOf(pair[0]));
    CLOISTER_ASSIGN_OR_RETURN(const std::string content, TextOf(pair[1]));
    const std::size_t bytes = 3 * (name.size() + content.size()) + 2;
    heap.SpendLook(2 * bytes);
    CLOISTER_RETURN_IF_ERROR(heap.Check());
    CLOISTER_RETURN_IF_ERROR(heap.Admit(bytes));
    CLOISTER_RETURN_IF_ERROR(MakeRoom(heap, text, bytes));
    text += (text.empty() ? "" : "&") + UrlQuoted(name, true) + "=" + UrlQuoted(content, true);
  }
  return MakeString(heap, std::move(text));
}

base::Result<Value> XmlAttr(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("xmlattr", {"autospace"}, 0, arguments));
  if (value.is(Kind::kUndefined)) return UndefinedFault(value);
  if (!value.is(Kind::kDict)) return Fault("xmlattr() needs a dict");
  std::string text;
  for (const auto& [key, content] : value.as<Dict>().entries()) {
    if (content.is(Kind::kNone) || content.is(Kind::kUndefined)) continue;
    if (!key.is(Kind::kString)) return Fault("xmlattr() needs keys that are strings");
    if (Text(key).find_first_of(" \t\n\v\f\r/>=") != std::string::npos) {
      return Fault("invalid character in attribute name");
    }
    CLOISTER_ASSIGN_OR_RETURN(const std::string name, Escaped(runtime.heap(), key));
    CLOISTER_ASSIGN_OR_RETURN(const std::string quoted, Escaped(runtime.heap(), content));
    runtime.heap().SpendLook(2 * (name.size() + quoted.size()));
    CLOISTER_RETURN_IF_ERROR(runtime.heap().Check());
    CLOISTER_RETURN_IF_ERROR(MakeRoom(runtime.heap(), text, name.size() + quoted.size() + 4));
    text += (text.empty() ? "" : " ") + name + "=\"" + quoted + "\"";
  }
  const bool spaced = bound[0].missing() || Truth(bound[0]);
  return MakeString(runtime.heap(), (spaced && !text.empty() ? " " : "") + text);
}

}  // namespace

Operations MarkupFilters() {
  static constexpr NamedOperation kFilters[] = {
      {"e", EscapeFilter},  {"escape", EscapeFilter}, {"forceescape", ForceEscape},
      {"safe", Safe},       {"striptags", StripTags}, {"urlencode", UrlEncode},
      {"xmlattr", XmlAttr},
  };
  static_assert(IsSorted(kFilters));
  return kFilters;
}

}  // namespace cloister::model::jinja
