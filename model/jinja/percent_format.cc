#include "model/jinja/percent_format.h"

#include <algorithm>
#include <cmath>

#include "model/jinja/format_spec.h"
#include "model/jinja/text_layout.h"
#include "model/jinja/text_of.h"
#include "model/jinja/text_sink.h"
#include "model/jinja/unicode.h"

namespace cloister::model::jinja {
namespace {

constexpr std::int64_t kMostWidth = std::int64_t{1} << 40;  // the heap refuses it, and no overflow

class PercentFormatter {
 public:
  PercentFormatter(Runtime& runtime, std::string_view format, const Value& values, bool markup)
      : runtime_(runtime), rest_(format), values_(values), markup_(markup) {}

  base::Result<std::string> Format() {
    TextSink text(runtime_.heap());
    while (true) {
      runtime_.heap().Spend(1);
      CLOISTER_RETURN_IF_ERROR(runtime_.heap().Check());
      const std::size_t percent = rest_.find('%');
      CLOISTER_RETURN_IF_ERROR(text.Write(rest_.substr(0, percent)));
      if (percent == std::string_view::npos) break;
      rest_.remove_prefix(percent + 1);
      CLOISTER_ASSIGN_OR_RETURN(const std::string one, FormatOne());
      const Held held(runtime_.heap(), one.size());
      CLOISTER_RETURN_IF_ERROR(text.Write(one));
    }
    const bool mapping =
        !values_.is(Kind::kTuple) && (values_.is(Kind::kDict) || values_.is(Kind::kList) ||
                                      values_.is(Kind::kRange) || values_.is(Kind::kUndefined));
    const std::size_t count = values_.is(Kind::kTuple) ? Items(values_).size() : 1;
    if (!mapping && used_ < count) {
      return Fault("not all arguments converted during string formatting");
    }
    return text.Take();
  }

 private:
  base::Result<std::string> FormatOne() {
    if (Take('%')) return std::string("%");
    FormatSpec spec;
    spec.align = '>';
    Value value;
    if (Take('(')) {
      CLOISTER_ASSIGN_OR_RETURN(value, NamedValue());
    }
    ReadFlags(spec);
    CLOISTER_ASSIGN_OR_RETURN(spec.width, ReadSize());
    if (spec.width < -1) {  // from *
      spec.align = '<';
      spec.width = -spec.width;
    }
    if (Take('.')) {
      CLOISTER_ASSIGN_OR_RETURN(spec.precision, ReadSize());
      spec.precision = std::max<std::int64_t>(spec.precision, 0);
    }
    while (Take('h') || Take('l') || Take('L')) continue;
    if (rest_.empty()) return Fault("incomplete format");
    std::size_t size = 0;
    const char32_t type = NextCodePoint(rest_, size);
    spec.type = type < 0x80 ? static_cast<char>(type) : '?';
    rest_.remove_prefix(size);
    if (value.missing()) {
      CLOISTER_ASSIGN_OR_RETURN(value, NextValue());
    }
    return FormatTyped(spec, value);
  }

  bool Take(char c) {
    if (rest_.empty() || rest_[0] != c) return false;
    rest_.remove_prefix(1);
    return true;
  }

  void ReadFlags(FormatSpec& spec) {
    bool left = false, zero = false;
    for (;; rest_.remove_prefix(1)) {
      const char flag = rest_.empty() ? 0 : rest_[0];
      if (flag == '-') {
        left = true;
      } else if (flag == '+' || flag == ' ') {
        if (spec.sign != '+') spec.sign = flag;
      } else if (flag == '#') {
        spec.alternate = true;
      } else if (flag == '0') {
        zero = true;
      } else {
        break;
      }
    }
    zero_ = zero && !left;
    if (left) spec.align = '<';
  }

  base::Result<std::int64_t> ReadSize() {
    if (Take('*')) {
      CLOISTER_ASSIGN_OR_RETURN(const Value size, NextValue());
      if (!size.is_integral()) return Fault("* wants int");
      if (size.integer() < -kMostWidth || size.integer() > kMostWidth) {
        return Fault("width too big");
      }
      return size.integer();
    }
    std::int64_t size = -1;
    while (!rest_.empty() && rest_[0] >= '0' && rest_[0] <= '9') {
      size = std::max<std::int64_t>(size, 0) * 10 + (rest_[0] - '0');
      if (size > kMostWidth) return Fault("width too big");
      rest_.remove_prefix(1);
    }
    return size;
  }

  base::Result<Value> NextValue() {
    if (!values_.is(Kind::kTuple)) {
      if (used_++ == 0) return values_;
    } else if (used_ < Items(values_).size()) {
      return Items(values_)[used_++];
    }
    return Fault("not enough arguments for format string");
  }

  base::Result<Value> NamedValue() {
    int depth = 1;
    std::size_t end = 0;
    for (; end < rest_.size(); ++end) {
      if (rest_[end] == '(') ++depth;
      if (rest_[end] == ')' && --depth == 0) break;
    }
    if (end == rest_.size()) return Fault("incomplete format key");
    const std::string key(rest_.substr(0, end));
    rest_.remove_prefix(end + 1);
    if (values_.is(Kind::kUndefined)) return UndefinedFault(values_);
    if (!values_.is(Kind::kDict)) return Fault("format requires a mapping");
    const Value* found = values_.as<Dict>().Find(key);
    if (found == nullptr) return Fault("the format's dict has no key '" + key + "'");
    return *found;
  }

  base::Result<std::string> FormatTyped(FormatSpec spec, const Value& value) {
    switch (spec.type) {
      case 's':
      case 'r':
      case 'a':
        return FormatText(spec, value);
      case 'c':
        return FormatCharacter(spec, value);
      case 'd':
      case 'i':
      case 'u':
      case 'o':
      case 'x':
      case 'X':
        return FormatInteger(spec, value);
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        return FormatReal(spec, value);
      default:
        return Fault(std::string("unsupported format character '") + spec.type + "'");
    }
  }

  base::Result<std::string> Pad(std::string_view text, const FormatSpec& spec) {
    if (spec.precision >= 0) {
      text = text.substr(0, OffsetOf(text, static_cast<std::size_t>(spec.precision)));
    }
    return Aligned(runtime_.heap(), text, spec.width, " ",
                   spec.align == '<' ? Alignment::kLeft : Alignment::kRight);
  }

  base::Result<std::string> FormatText(const FormatSpec& spec, const Value& value) {
    base::Result<std::string> text =
        spec.type == 's' ? TextOf(value) : ReprOf(value, spec.type == 'a');
    if (!text) return text;
    if (!markup_ && spec.precision < 0 && spec.width <= 0) return text;
    const Held held(runtime_.heap(), text->size());
    if (!markup_ || (value.is(Kind::kString) && value.as<String>().markup())) {
      return Pad(*text, spec);
    }
    CLOISTER_RETURN_IF_ERROR(runtime_.heap().Admit(kMostEscaped * text->size()));
    const std::string escaped = Escape(*text);
    const Held held_escaped(runtime_.heap(), escaped.size());
    return Pad(escaped, spec);
  }

  base::Result<std::string> FormatCharacter(FormatSpec spec, const Value& value) {
    spec.precision = -1;
    std::string text;
    if (value.is_integral() && value.integer() >= 0 && value.integer() <= 0x10ffff) {
      AppendCodePoint(text, static_cast<char32_t>(value.integer()));
    } else if (value.is(Kind::kString) && value.as<String>().length() == 1) {
      text = Text(value);
    } else {
      return Fault("%c requires int or char");
    }
    return Pad(text, spec);
  }

  base::Result<std::string> FormatInteger(FormatSpec spec, const Value& value) {
    std::int64_t number = value.integer();
    const bool decimal = spec.type == 'd' || spec.type == 'i' || spec.type == 'u';
    if (value.is(Kind::kFloat) && decimal) {
      if (!(std::fabs(value.real()) < 9.2e18)) return Fault("cannot convert float to integer");
      number = static_cast<std::int64_t>(value.real());
    } else if (!value.is_integral()) {
      if (value.is(Kind::kUndefined)) return UndefinedFault(value);
      return Fault(std::string("%") + spec.type + " format: a number is required, not " +
                   std::string(TypeName(value)));
    }
    std::string digits = IntegerDigits(number, spec.type);
    CLOISTER_ASSIGN_OR_RETURN(
        digits, Aligned(runtime_.heap(), digits, spec.precision, "0", Alignment::kRight));
    const Held held(runtime_.heap(), digits.size());
    std::string sign = number < 0 ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
    if (spec.alternate && !decimal) sign += std::string("0") + spec.type;
    return PadSigned(spec, sign, digits);
  }

  base::Result<std::string> FormatReal(const FormatSpec& spec, const Value& value) {
    if (!value.is_number()) {
      if (value.is(Kind::kUndefined)) return UndefinedFault(value);
      return Fault("must be real number, not " + std::string(TypeName(value)));
    }
    const double number = value.number();
    CLOISTER_ASSIGN_OR_RETURN(
        const std::string digits,
        RealDigits(runtime_.heap(), number, spec.type, spec.precision, spec.alternate));
    const bool negative = std::signbit(number) && !std::isnan(number);
    return PadSigned(spec,
                     negative           ? "-"
                     : spec.sign == '-' ? ""
                                        : std::string(1, spec.sign),
                     digits);
  }

  base::Result<std::string> PadSigned(FormatSpec spec, const std::string& sign,
                                      const std::string& digits) {
    if (zero_) {
      spec.align = '=';
      spec.fill = "0";
    }
    return PadNumber(runtime_.heap(), sign, digits, spec);
  }

  Runtime& runtime_;
  std::string_view rest_;
  const Value& values_;
  bool markup_;
  bool zero_ = false;
  std::size_t used_ = 0;
};

}  // namespace

base::Result<std::string> PercentFormat(Runtime& runtime, const Value& format,
                                        const Value& values) {
  const auto& string = format.as<String>();
  return PercentFormatter(runtime, string.text(), values, string.markup()).Format();
}

}  // namespace cloister::model::jinja
