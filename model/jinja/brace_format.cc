#include "model/jinja/brace_format.h"

#include <optional>
#include <string_view>

#include "model/jinja/access.h"
#include "model/jinja/format_spec.h"
#include "model/jinja/numbers.h"
#include "model/jinja/text_layout.h"
#include "model/jinja/text_of.h"
#include "model/jinja/text_sink.h"

namespace cloister::model::jinja {
namespace {

bool IsIndex(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// "name.attribute[key]!r:spec" between braces.
struct Field {
  std::string_view name, conversion, spec;
  bool converted = false;
};

class BraceFormatter {
 public:
  BraceFormatter(Runtime& runtime, const Arguments& arguments, bool markup)
      : runtime_(runtime), arguments_(arguments), markup_(markup) {}

  base::Result<std::string> Format(std::string_view format, int nesting) {
    if (nesting < 0) return Fault("max string recursion exceeded");
    TextSink text(runtime_.heap());
    while (!format.empty()) {
      const std::size_t brace = format.find_first_of("{}");
      CLOISTER_RETURN_IF_ERROR(text.Write(format.substr(0, brace)));
      if (brace == std::string_view::npos) break;
      const char kind = format[brace];
      format.remove_prefix(brace + 1);
      if (!format.empty() && format[0] == kind) {
        CLOISTER_RETURN_IF_ERROR(text.Write(format.substr(0, 1)));
        format.remove_prefix(1);
        continue;
      }
      if (kind == '}') return Fault("single '}' encountered in format string");
      CLOISTER_ASSIGN_OR_RETURN(const std::size_t end, FieldEnd(format));
      CLOISTER_ASSIGN_OR_RETURN(const std::string field,
                                FormatField(format.substr(0, end), nesting));
      const Held held(runtime_.heap(), field.size());
      CLOISTER_RETURN_IF_ERROR(text.Write(field));
      format.remove_prefix(end + 1);
    }
    return text.Take();
  }

 private:
  static base::Result<std::size_t> FieldEnd(std::string_view text) {
    int depth = 1;
    bool bracket = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '[') bracket = depth == 1 || bracket;
      if (text[i] == ']') bracket = false;
      if (bracket) continue;
      if (text[i] == '{') ++depth;
      if (text[i] == '}' && --depth == 0) return i;
    }
    return Fault("expected '}' before end of string");
  }

  static Field Parts(std::string_view text) {
    Field field;
    bool bracket = false;
    std::size_t end = 0;
    for (; end < text.size(); ++end) {
      if (text[end] == '[') bracket = true;
      if (text[end] == ']') bracket = false;
      if (!bracket && (text[end] == '!' || text[end] == ':')) break;
    }
    field.name = text.substr(0, end);
    if (end == text.size()) return field;
    if (text[end] == '!') {
      const std::size_t colon = text.find(':', end);
      field.converted = true;
      field.conversion =
          text.substr(end + 1, colon == std::string_view::npos ? colon : colon - end - 1);
      end = colon;
    }
    if (end != std::string_view::npos) field.spec = text.substr(end + 1);
    return field;
  }

  base::Result<std::string> FormatField(std::string_view text, int nesting) {
    runtime_.heap().Spend(1);
    CLOISTER_RETURN_IF_ERROR(runtime_.heap().Check());
    const Field field = Parts(text);
    CLOISTER_ASSIGN_OR_RETURN(Value value, Resolve(field.name));
    if (field.converted) {
      CLOISTER_ASSIGN_OR_RETURN(value, Convert(value, field.conversion));
    }
    CLOISTER_ASSIGN_OR_RETURN(const std::string spec, Format(field.spec, nesting - 1));
    CLOISTER_ASSIGN_OR_RETURN(std::string formatted, FormatValue(runtime_, value, spec));
    const bool escape = markup_ && !(value.is(Kind::kString) && value.as<String>().markup());
    if (!escape) return formatted;
    const Held held(runtime_.heap(), formatted.size());
    CLOISTER_RETURN_IF_ERROR(runtime_.heap().Admit(kMostEscaped * formatted.size()));
    return Escape(formatted);
  }

  base::Result<Value> Convert(const Value& value, std::string_view conversion) {
    std::string text;
    if (conversion == "s") {
      CLOISTER_ASSIGN_OR_RETURN(text, TextOf(value));
    } else if (conversion == "r" || conversion == "a") {
      CLOISTER_ASSIGN_OR_RETURN(text, ReprOf(value, conversion == "a"));
    } else {
      return Fault("unknown conversion specifier '" + std::string(conversion) + "'");
    }
    return MakeString(runtime_.heap(), std::move(text));
  }

  base::Result<Value> First(std::string_view name) {
    std::int64_t index = 0;
    if (name.empty() || IsIndex(name)) {
      const bool automatic = name.empty();
      if (automatic_ && *automatic_ != automatic) {
        return Fault("cannot switch between automatic field numbering and manual ones");
      }
      automatic_ = automatic;
      index = automatic ? next_++ : ParseInteger(name, 10).value_or(-1);
      if (index < 0 || index >= static_cast<std::int64_t>(arguments_.positional.size())) {
        return Fault("replacement index out of range for positional args");
      }
      return arguments_.positional[static_cast<std::size_t>(index)];
    }
    runtime_.heap().Spend(arguments_.named.size() / 8);
    runtime_.heap().SpendBytes(name.size());
    for (const auto& [key, value] : arguments_.named) {
      if (key == name) return value;
    }
    return Fault("format() has no argument '" + std::string(name) + "'");
  }

  base::Result<Value> Resolve(std::string_view name) {
    const std::size_t end = std::min(name.find_first_of(".["), name.size());
    CLOISTER_ASSIGN_OR_RETURN(Value value, First(name.substr(0, end)));
    name.remove_prefix(end);
    while (!name.empty()) {
      if (name[0] == '.') {
        const std::size_t stop = std::min(name.find_first_of(".[", 1), name.size());
        if (stop == 1) return Fault("empty attribute in format string");
        CLOISTER_ASSIGN_OR_RETURN(value, GetAttribute(runtime_, value, name.substr(1, stop - 1)));
        name.remove_prefix(stop);
        continue;
      }
      const std::size_t stop = name.find(']');
      if (name[0] != '[' || stop == std::string_view::npos)
        return Fault("missing ']' in format string");
      const std::string_view key = name.substr(1, stop - 1);
      if (key.empty()) return Fault("empty attribute in format string");
      const Value item = IsIndex(key) ? Value::Int(ParseInteger(key, 10).value_or(-1))
                                      : MakeString(runtime_.heap(), std::string(key));
      CLOISTER_ASSIGN_OR_RETURN(value, GetItem(runtime_, value, item));
      name.remove_prefix(stop + 1);
    }
    return value;
  }

  Runtime& runtime_;
  const Arguments& arguments_;
  bool markup_;
  std::optional<bool> automatic_;
  std::int64_t next_ = 0;
};

}  // namespace

base::Result<std::string> BraceFormat(Runtime& runtime, const Value& format,
                                      const Arguments& arguments) {
  const auto& string = format.as<String>();
  return BraceFormatter(runtime, arguments, string.markup()).Format(string.text(), 2);
}

}  // namespace cloister::model::jinja
