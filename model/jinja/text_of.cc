#include "model/jinja/text_of.h"

#include "model/jinja/callables.h"
#include "model/jinja/loop.h"
#include "model/jinja/numbers.h"
#include "model/jinja/objects.h"
#include "model/jinja/text_sink.h"
#include "model/jinja/unicode.h"

namespace cloister::model::jinja {
namespace {

void AppendEscaped(char32_t c, std::string& text) {
  static constexpr char kHex[] = "0123456789abcdef";
  const int digits = c < 0x100 ? 2 : c < 0x10000 ? 4 : 8;
  text += c < 0x100 ? "\\x" : c < 0x10000 ? "\\u" : "\\U";
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) text += kHex[c >> shift & 0xf];
}

void AppendStringRepr(std::string_view string, bool ascii, std::string& text) {
  const bool single = string.find('\'') != std::string_view::npos;
  const char quote = single && string.find('"') == std::string_view::npos ? '"' : '\'';
  text += quote;
  for (std::size_t offset = 0; offset < string.size();) {
    const std::size_t start = offset;
    const char32_t c = NextCodePoint(string, offset);
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      text += '\\';
      text += static_cast<char>(c);
    } else if (c == '\n') {
      text += "\\n";
    } else if (c == '\r') {
      text += "\\r";
    } else if (c == '\t') {
      text += "\\t";
    } else if (c < 0x80 ? c >= 0x20 && c != 0x7f : !ascii && IsPrintable(c)) {
      text += string.substr(start, offset - start);
    } else {
      AppendEscaped(c, text);
    }
  }
  text += quote;
}

// Writes reprs one into another.
class Repr {
 public:
  Repr(bool ascii, std::string& text) : ascii_(ascii), text_(text) {}

  base::Status Append(const Value& value) {
    if (value.holds_object()) CLOISTER_RETURN_IF_ERROR(Step(value));
    switch (value.kind()) {
      case Kind::kString:
        AppendString(value.as<String>());
        return {};
      case Kind::kList:
      case Kind::kTuple:
        return AppendItems(value);
      case Kind::kDict:
        return AppendDict(value.as<Dict>());
      case Kind::kView:
        return AppendView(value);
      case Kind::kNamespace:
        return AppendNamespace(value.as<Namespace>());
      case Kind::kLoop: {
        CLOISTER_ASSIGN_OR_RETURN(const std::string loop, value.as<Loop>().Text());
        text_ += loop;
        return {};
      }
      default:
        AppendPlain(value);
        return {};
    }
  }

 private:
  void AppendString(const String& string) {
    if (string.markup()) text_ += "Markup(";
    AppendStringRepr(string.text(), ascii_, text_);
    if (string.markup()) text_ += ")";
  }

  // A value may hold another many times over, so that its text is longer than its bytes. No byte
  // of a string becomes more than four.
  base::Status Step(const Value& value) {
    Heap& heap = value.object()->heap();
    const std::size_t bytes = value.is(Kind::kString) ? Text(value).size() : 0;
    heap.Spend(1 + bytes / 4);
    CLOISTER_RETURN_IF_ERROR(heap.Check());
    return MakeRoom(heap, text_, 4 * bytes + kPlainBytes);
  }

  base::Status AppendItems(const Value& value) {
    const bool tuple = value.is(Kind::kTuple);
    text_ += tuple ? "(" : "[";
    bool first = true;
    value.object()->heap().Spend(Items(value).size());
    for (const Value& item : Items(value)) {
      if (!std::exchange(first, false)) text_ += ", ";
      CLOISTER_RETURN_IF_ERROR(Append(item));
    }
    if (tuple && Items(value).size() == 1) text_ += ",";
    text_ += tuple ? ")" : "]";
    return {};
  }

  base::Status AppendDict(const Dict& dict) {
    text_ += "{";
    bool first = true;
    for (const auto& [key, value] : dict.entries()) {
      if (!std::exchange(first, false)) text_ += ", ";
      CLOISTER_RETURN_IF_ERROR(Append(key));
      text_ += ": ";
      CLOISTER_RETURN_IF_ERROR(Append(value));
    }
    text_ += "}";
    return {};
  }

  base::Status AppendView(const Value& value) {
    const View& view = value.as<View>();
    text_ += std::string(TypeName(value)) + "([";
    for (std::size_t i = 0; i < view.dict().entries().size(); ++i) {
      if (i > 0) text_ += ", ";
      CLOISTER_RETURN_IF_ERROR(Append(view.At(i)));
    }
    text_ += "])";
    return {};
  }

  base::Status AppendNamespace(const Namespace& space) {
    if (++namespaces_ > kMaxNamespaces) return Fault("a namespace holds itself: do not print it");
    text_ += "<Namespace {";
    bool first = true;
    for (const auto& [name, value] : space.attributes()) {
      if (!std::exchange(first, false)) text_ += ", ";
      CLOISTER_RETURN_IF_ERROR(Append(name));
      text_ += ": ";
      CLOISTER_RETURN_IF_ERROR(Append(value));
    }
    text_ += "}>";
    --namespaces_;
    return {};
  }

  void AppendPlain(const Value& value) {
    switch (value.kind()) {
      case Kind::kMissing:
      case Kind::kUndefined:
        text_ += "Undefined";
        break;
      case Kind::kNone:
        text_ += "None";
        break;
      case Kind::kBool:
        text_ += value.boolean() ? "True" : "False";
        break;
      case Kind::kInt:
        text_ += std::to_string(value.integer());
        break;
      case Kind::kBigInt:
        text_ += std::to_string(value.as<BigInt>().value());
        break;
      case Kind::kFloat:
        text_ += FloatText(value.real());
        break;
      case Kind::kRange:
        AppendRange(value.as<Range>());
        break;
      case Kind::kMacro:
        text_ += "<Macro ";
        if (value.as<Macro>().name().empty()) {
          text_ += "anonymous";
        } else {
          AppendStringRepr(value.as<Macro>().name(), ascii_, text_);
        }
        text_ += ">";
        break;
      default:
        text_ += "<" + std::string(TypeName(value)) + ">";
    }
  }

  void AppendRange(const Range& range) {
    text_ += "range(" + std::to_string(range.start()) + ", " + std::to_string(range.stop());
    if (range.step() != 1) text_ += ", " + std::to_string(range.step());
    text_ += ")";
  }

  static constexpr int kMaxNamespaces = 20;
  static constexpr std::size_t kPlainBytes = 40;  // of what is no string, with what is around it
  bool ascii_;
  std::string& text_;
  int namespaces_ = 0;
};

}  // namespace

base::Status AppendText(const Value& value, std::string& text) {
  if (value.is(Kind::kString)) {
    Heap& heap = value.object()->heap();
    heap.SpendBytes(Text(value).size());
    CLOISTER_RETURN_IF_ERROR(heap.Check());
    CLOISTER_RETURN_IF_ERROR(MakeRoom(heap, text, Text(value).size()));
    text += Text(value);
    return {};
  }
  if (value.is(Kind::kUndefined)) return {};
  return Repr(false, text).Append(value);
}

base::Result<std::string> TextOf(const Value& value) {
  std::string text;
  CLOISTER_RETURN_IF_ERROR(AppendText(value, text));
  return text;
}

base::Result<std::string> ReprOf(const Value& value, bool ascii) {
  std::string text;
  CLOISTER_RETURN_IF_ERROR(Repr(ascii, text).Append(value));
  return text;
}

}  // namespace cloister::model::jinja
