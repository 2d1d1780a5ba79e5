#include "model/jinja/json_text.h"

#include <algorithm>
#include <cmath>

#include "model/jinja/comparison.h"
#include "model/jinja/numbers.h"
#include "model/jinja/text_sink.h"
#include "model/jinja/unicode.h"

namespace cloister::model::jinja {
namespace {

void AppendUnit(unsigned unit, std::string& text) {
  static constexpr char kHex[] = "0123456789abcdef";
  text += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) text += kHex[unit >> shift & 0xf];
}

void AppendQuoted(std::string_view string, bool ensure_ascii, std::string& text) {
  text += '"';
  for (std::size_t offset = 0; offset < string.size();) {
    const std::size_t start = offset;
    const char32_t c = NextCodePoint(string, offset);
    static constexpr std::string_view kPlain = "\"\\\n\r\t\f\b";
    static constexpr std::string_view kNames = "\"\\nrtfb";
    const std::size_t named = c < 0x80 ? kPlain.find(static_cast<char>(c)) : std::string_view::npos;
    if (named != std::string_view::npos) {
      text += '\\';
      text += kNames[named];
    } else if (c >= 0x20 && (c < 0x7f || !ensure_ascii)) {
      text += string.substr(start, offset - start);
    } else if (c < 0x10000) {
      AppendUnit(c, text);
    } else {
      AppendUnit(0xd800 + ((c - 0x10000) >> 10), text);
      AppendUnit(0xdc00 + ((c - 0x10000) & 0x3ff), text);
    }
  }
  text += '"';
}

std::string RealText(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  return FloatText(value);
}

class JsonWriter {
 public:
  JsonWriter(Heap& heap, const JsonStyle& style) : heap_(heap), style_(style) {}

  base::Status Append(const Value& value) {
    switch (value.kind()) {
      case Kind::kNone:
        text_ += "null";
        return {};
      case Kind::kBool:
        text_ += value.boolean() ? "true" : "false";
        return {};
      case Kind::kInt:
        text_ += std::to_string(value.integer());
        return {};
      case Kind::kBigInt:
        text_ += std::to_string(value.as<BigInt>().value());
        return {};
      case Kind::kFloat:
        text_ += RealText(value.real());
        return {};
      case Kind::kString:
        return AppendString(Text(value));
      case Kind::kList:
      case Kind::kTuple:
        return AppendItems(Items(value));
      case Kind::kDict:
        return AppendDict(value.as<Dict>());
      default:
        return Fault("Object of type " + std::string(TypeName(value)) +
                     " is not JSON serializable");
    }
  }

  std::string Take() { return std::move(text_); }

 private:
  // Room for `bytes` more. A value may hold another many times over, so that its text is longer
  // than its bytes.
  base::Status Step(std::size_t bytes) {
    heap_.Spend(1);
    heap_.SpendBytes(bytes);
    CLOISTER_RETURN_IF_ERROR(heap_.Check());
    return MakeRoom(heap_, text_, bytes + kPlainBytes);
  }

  base::Status Line() {
    if (!style_.indent) return {};
    CLOISTER_RETURN_IF_ERROR(Step(level_ * style_.indent->size()));
    text_ += '\n';
    for (std::size_t i = 0; i < level_; ++i) text_ += *style_.indent;
    return {};
  }

  base::Status Separate(bool first) {
    CLOISTER_RETURN_IF_ERROR(Step(style_.item_separator.size()));
    if (!first) text_ += style_.item_separator;
    return Line();
  }

  // No byte of a string becomes more than six.
  base::Status AppendString(std::string_view string) {
    CLOISTER_RETURN_IF_ERROR(Step(6 * string.size() + 2));
    AppendQuoted(string, style_.ensure_ascii, text_);
    return {};
  }

  base::Status AppendItems(const std::vector<Value>& items) {
    if (items.empty()) {
      text_ += "[]";
      return {};
    }
    text_ += '[';
    ++level_;
    bool first = true;
    for (const Value& item : items) {
      CLOISTER_RETURN_IF_ERROR(Separate(std::exchange(first, false)));
      CLOISTER_RETURN_IF_ERROR(Append(item));
    }
    --level_;
    CLOISTER_RETURN_IF_ERROR(Line());
    text_ += ']';
    return {};
  }

  static base::Result<std::string> KeyText(const Value& key) {
    switch (key.kind()) {
      case Kind::kString:
        return Text(key);
      case Kind::kNone:
        return std::string("null");
      case Kind::kBool:
        return std::string(key.boolean() ? "true" : "false");
      case Kind::kInt:
        return std::to_string(key.integer());
      case Kind::kFloat:
        return RealText(key.real());
      default:
        return Fault("keys must be str, int, float, bool or None, not " +
                     std::string(TypeName(key)));
    }
  }

  base::Result<std::vector<Dict::Entry>> Sorted(std::vector<Dict::Entry> entries) {
    CLOISTER_RETURN_IF_ERROR(heap_.Admit(entries.size() * 2 * sizeof(Dict::Entry)));
    base::Status status;
    std::stable_sort(entries.begin(), entries.end(),
                     [&](const Dict::Entry& a, const Dict::Entry& b) {
                       heap_.Spend(1);
                       if (status) status = heap_.Check();
                       if (!status) return false;
                       const base::Result<int> order = Order(a.first, b.first);
                       if (!order) status = tl::unexpected<base::Error>(order.error());
                       return order && *order == -1;
                     });
    CLOISTER_RETURN_IF_ERROR(status);
    return entries;
  }

  base::Status AppendDict(const Dict& dict) {
    if (dict.entries().empty()) {
      text_ += "{}";
      return {};
    }
    if (!style_.sort_keys) return AppendEntries(dict.entries());
    CLOISTER_ASSIGN_OR_RETURN(const auto entries, Sorted(dict.entries()));
    return AppendEntries(entries);
  }

  base::Status AppendEntries(const std::vector<Dict::Entry>& entries) {
    text_ += '{';
    ++level_;
    bool first = true;
    for (const auto& [key, value] : entries) {
      CLOISTER_ASSIGN_OR_RETURN(const std::string name, KeyText(key));
      CLOISTER_RETURN_IF_ERROR(Separate(std::exchange(first, false)));
      CLOISTER_RETURN_IF_ERROR(AppendString(name));
      CLOISTER_RETURN_IF_ERROR(Step(style_.key_separator.size()));
      text_ += style_.key_separator;
      CLOISTER_RETURN_IF_ERROR(Append(value));
    }
    --level_;
    CLOISTER_RETURN_IF_ERROR(Line());
    text_ += '}';
    return {};
  }

  static constexpr std::size_t kPlainBytes = 40;  // of what is no string, with what is around it

  Heap& heap_;
  const JsonStyle& style_;
  std::string text_;
  std::size_t level_ = 0;
};

}  // namespace

base::Result<std::string> JsonText(Heap& heap, const Value& value, const JsonStyle& style) {
  JsonWriter writer(heap, style);
  CLOISTER_RETURN_IF_ERROR(writer.Append(value));
  return writer.Take();
}

}  // namespace cloister::model::jinja
