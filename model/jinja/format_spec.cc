#include "model/jinja/format_spec.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "model/jinja/heap.h"
#include "model/jinja/numbers.h"
#include "model/jinja/text_layout.h"
#include "model/jinja/text_of.h"
#include "model/jinja/unicode.h"

namespace cloister::model::jinja {
namespace {

constexpr std::int64_t kMostDigits = 4096;  // of a precision, or of a width with grouping

bool IsAlign(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }

// Reads the parts of a spec from the front.
class SpecReader {
 public:
  explicit SpecReader(std::string_view text) : rest_(text) {}

  base::Result<FormatSpec> Read() {
    FormatSpec spec;
    ReadAlignment(spec);
    if (Next("+- ")) spec.sign = last_;
    spec.alternate = Next("#");
    if (Next("0")) {
      if (spec.fill == " ") spec.fill = "0";
      zero_ = true;
    }
    CLOISTER_ASSIGN_OR_RETURN(spec.width, ReadNumber());
    if (Next(",_")) spec.grouping = last_;
    if (Next(".")) {
      CLOISTER_ASSIGN_OR_RETURN(spec.precision, ReadNumber());
      if (spec.precision < 0) return Fault("format specifier missing precision");
    }
    if (rest_.size() > 1) return Fault("invalid format specifier");
    if (!rest_.empty()) spec.type = rest_[0];
    if (zero_ && spec.align == 0) spec.align = '0';
    return spec;
  }

 private:
  bool Next(std::string_view characters) {
    if (rest_.empty() || characters.find(rest_[0]) == std::string_view::npos) return false;
    last_ = rest_[0];
    rest_.remove_prefix(1);
    return true;
  }

  void ReadAlignment(FormatSpec& spec) {
    if (rest_.empty()) return;
    std::size_t fill = 0;
    NextCodePoint(rest_, fill);
    if (fill < rest_.size() && IsAlign(rest_[fill])) {
      spec.fill = rest_.substr(0, fill);
      spec.align = rest_[fill];
      rest_.remove_prefix(fill + 1);
    } else if (IsAlign(rest_[0])) {
      spec.align = rest_[0];
      rest_.remove_prefix(1);
    }
  }

  base::Result<std::int64_t> ReadNumber() {
    std::int64_t number = -1;
    const auto end = std::from_chars(rest_.data(), rest_.data() + rest_.size(), number);
    if (!rest_.empty() && rest_[0] == '-') return std::int64_t{-1};
    if (end.ec == std::errc::result_out_of_range) return Fault("too many digits in format string");
    if (end.ec == std::errc())
      rest_.remove_prefix(static_cast<std::size_t>(end.ptr - rest_.data()));
    return number;
  }

  std::string_view rest_;
  char last_ = 0;
  bool zero_ = false;
};

// Digits up to the point or exponent with a separator every `size` digits.
std::size_t WholeDigits(const std::string& digits) {
  return std::min(digits.find_first_not_of("0123456789abcdefABCDEF"), digits.size());
}

std::string Grouped(const std::string& digits, char separator, std::size_t size) {
  const std::size_t whole = WholeDigits(digits);
  std::string result;
  for (std::size_t i = 0; i < whole; ++i) {
    if (i > 0 && (whole - i) % size == 0) result += separator;
    result += digits[i];
  }
  return result + digits.substr(whole);
}

// A float without a type but with a precision: as g, but "2." is "2.0", and the exponent comes one
// digit earlier.
std::string GeneralWithPoint(double value, std::int64_t precision) {
  precision = std::max<std::int64_t>(precision, 1);
  std::string text(static_cast<std::size_t>(precision) + 32, '\0');
  const int size =
      std::snprintf(text.data(), text.size(), "%.*e", static_cast<int>(precision - 1), value);
  text.resize(static_cast<std::size_t>(std::max(size, 0)));
  const std::size_t e = text.find('e');
  if (e == std::string::npos) return text;
  const int exponent = std::atoi(text.c_str() + e + 1);
  std::string digits = text.substr(0, e);
  digits.erase(std::remove(digits.begin(), digits.end(), '.'), digits.end());
  while (digits.size() > 1 && digits.back() == '0') digits.pop_back();
  if (exponent < -4 || exponent + 1 > precision - 1) {
    return digits.substr(0, 1) + (digits.size() > 1 ? "." + digits.substr(1) : "") + text.substr(e);
  }
  if (exponent < 0)
    return "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  const auto whole = static_cast<std::size_t>(exponent) + 1;
  if (digits.size() <= whole) return digits + std::string(whole - digits.size(), '0') + ".0";
  return digits.substr(0, whole) + "." + digits.substr(whole);
}

tl::unexpected<base::Error> UnknownCode(char type, const Value& value) {
  return Fault(std::string("unknown format code '") + type + "' for object of type '" +
               std::string(TypeName(value)) + "'");
}

std::string SignOf(bool negative, char sign) {
  if (negative) return "-";
  return sign == '+' || sign == ' ' ? std::string(1, sign) : "";
}

// The work of so many digits behind the point.
base::Status PayForDigits(Heap& heap, std::int64_t precision) {
  if (precision > kMostDigits) return Fault("precision too big");
  heap.Spend(static_cast<std::uint64_t>(std::max<std::int64_t>(precision, 0)));
  return heap.Check();
}

base::Result<std::string> FormatReal(Heap& heap, double value, const FormatSpec& spec) {
  std::string digits;
  if (spec.type == 0) {
    CLOISTER_RETURN_IF_ERROR(PayForDigits(heap, spec.precision));
    const double size = std::fabs(value);
    digits = spec.precision < 0 || !std::isfinite(value) ? FloatText(size)
                                                         : GeneralWithPoint(size, spec.precision);
  } else {
    CLOISTER_ASSIGN_OR_RETURN(digits, RealDigits(heap, value, spec.type == 'n' ? 'g' : spec.type,
                                                 spec.precision, spec.alternate));
  }
  return PadNumber(heap, SignOf(std::signbit(value) && !std::isnan(value), spec.sign), digits,
                   spec);
}

base::Result<std::string> FormatInteger(Heap& heap, const Value& value, const FormatSpec& spec) {
  if (spec.precision >= 0) return Fault("precision not allowed in integer format specifier");
  const std::int64_t number = value.integer();
  if (spec.type == 'c') {
    if (number < 0 || number > 0x10ffff) return Fault("%c arg not in range(0x110000)");
    std::string text;
    AppendCodePoint(text, static_cast<char32_t>(number));
    return PadNumber(heap, "", text, spec);
  }
  const char type = spec.type == 0 || spec.type == 'n' ? 'd' : spec.type;
  std::string sign = SignOf(number < 0, spec.sign);
  if (spec.alternate && type != 'd') sign += std::string("0") + type;
  return PadNumber(heap, sign, IntegerDigits(number, type), spec);
}

base::Result<std::string> FormatString(Heap& heap, std::string_view text, const FormatSpec& spec) {
  if (spec.align == '=' || spec.grouping != 0 || spec.alternate || spec.sign != '-') {
    return Fault("a format of numbers is used for a string");
  }
  if (spec.precision >= 0) {
    text = text.substr(0, OffsetOf(text, static_cast<std::size_t>(spec.precision)));
  }
  const Alignment alignment = spec.align == '>'   ? Alignment::kRight
                              : spec.align == '^' ? Alignment::kCenter
                                                  : Alignment::kLeft;
  if (alignment != Alignment::kCenter) return Aligned(heap, text, spec.width, spec.fill, alignment);
  // Unlike str.center, the odd one goes to the right.
  const auto length = static_cast<std::int64_t>(CountCodePoints(text));
  const std::int64_t left = std::max<std::int64_t>(0, spec.width - length) / 2;
  CLOISTER_ASSIGN_OR_RETURN(const std::string result,
                            Aligned(heap, text, length + left, spec.fill, Alignment::kRight));
  const Held held(heap, result.size());
  return Aligned(heap, result, spec.width, spec.fill, Alignment::kLeft);
}

bool Among(std::string_view types, char type) {
  return type == 0 || types.find(type) != std::string_view::npos;
}

}  // namespace

base::Result<FormatSpec> ParseFormatSpec(std::string_view text) { return SpecReader(text).Read(); }

std::string IntegerDigits(std::int64_t value, char type) {
  const int base = type == 'b' ? 2 : type == 'o' ? 8 : type == 'x' || type == 'X' ? 16 : 10;
  const auto size = value < 0 ? std::uint64_t{0} - static_cast<std::uint64_t>(value)
                              : static_cast<std::uint64_t>(value);
  char buffer[72];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), size, base);
  const std::string digits(buffer, end.ptr);
  return type == 'X' ? Upper(digits) : digits;
}

base::Result<std::string> RealDigits(Heap& heap, double value, char type, std::int64_t precision,
                                     bool alternate) {
  CLOISTER_RETURN_IF_ERROR(PayForDigits(heap, precision));
  value = std::fabs(value);
  if (type == '%') value *= 100;
  const bool upper = type == 'E' || type == 'F' || type == 'G';
  if (!std::isfinite(value)) {
    std::string name = std::isnan(value) ? "nan" : "inf";
    return (upper ? Upper(name) : name) + (type == '%' ? "%" : "");
  }
  const int digits = precision < 0 ? 6 : static_cast<int>(precision);
  const std::string format =
      std::string("%") + (alternate ? "#" : "") + ".*" + (type == '%' ? 'f' : type);
  std::string text(static_cast<std::size_t>(digits) + 340, '\0');
  const int size = std::snprintf(text.data(), text.size(), format.c_str(), digits, value);
  text.resize(static_cast<std::size_t>(std::max(size, 0)));
  return text + (type == '%' ? "%" : "");
}

base::Result<std::string> PadNumber(Heap& heap, const std::string& sign, std::string digits,
                                    const FormatSpec& spec) {
  const bool inside = spec.align == '=' || spec.align == '0';
  const auto sign_size = static_cast<std::int64_t>(sign.size());
  if (spec.grouping != 0) {
    const std::size_t size =
        spec.type == 'x' || spec.type == 'X' || spec.type == 'b' || spec.type == 'o' ? 4 : 3;
    std::string grouped = Grouped(digits, spec.grouping, size);
    if (inside && spec.fill == "0") {
      if (spec.width > kMostDigits) return Fault("width too big");
      // Zeros with their separators: one digit may bring two characters, and the width is passed.
      const auto missing = spec.width - sign_size - static_cast<std::int64_t>(grouped.size());
      const std::size_t whole = WholeDigits(digits);
      if (missing > 0 && whole == 0) {  // inf, nan
        digits.insert(0, static_cast<std::size_t>(missing), '0');
        grouped = digits;
      } else if (missing > 0) {
        heap.Spend(static_cast<std::uint64_t>(missing));
        CLOISTER_RETURN_IF_ERROR(heap.Check());
        const auto filled = static_cast<std::size_t>(missing) + (whole + (whole - 1) / size);
        // `whole` digits take whole + (whole - 1) / size characters.
        std::size_t wanted = whole;
        while (wanted + (wanted - 1) / size < filled) ++wanted;
        digits.insert(0, wanted - whole, '0');
        grouped = Grouped(digits, spec.grouping, size);
      }
    }
    digits = std::move(grouped);
  }
  if (inside) {
    CLOISTER_ASSIGN_OR_RETURN(
        const std::string filled,
        Aligned(heap, digits, spec.width - sign_size, spec.fill, Alignment::kRight));
    const Held held(heap, filled.size());
    CLOISTER_RETURN_IF_ERROR(heap.Admit(filled.size() + sign.size()));
    return sign + filled;
  }
  FormatSpec as_text = spec;
  as_text.align = spec.align == 0 ? '>' : spec.align;
  as_text.precision = -1;
  as_text.grouping = 0;
  as_text.alternate = false;
  as_text.sign = '-';
  CLOISTER_RETURN_IF_ERROR(heap.Admit(sign.size() + digits.size()));
  const std::string text = sign + digits;
  const Held held(heap, text.size());
  return FormatString(heap, text, as_text);
}

base::Result<std::string> FormatValue(Runtime& runtime, const Value& value, std::string_view spec) {
  if (spec.empty()) return TextOf(value);
  CLOISTER_ASSIGN_OR_RETURN(const FormatSpec parsed, ParseFormatSpec(spec));
  const char type = parsed.type;
  if (value.is(Kind::kString)) {
    if (!Among("s", type)) return UnknownCode(type, value);
    return FormatString(runtime.heap(), Text(value), parsed);
  }
  if (value.is(Kind::kFloat)) {
    if (!Among("eEfFgGn%", type)) return UnknownCode(type, value);
    return FormatReal(runtime.heap(), value.real(), parsed);
  }
  if (!value.is_integral()) {
    return Fault("unsupported format string passed to " + std::string(TypeName(value)) +
                 ".__format__");
  }
  if (Among("bcdoxXn", type)) return FormatInteger(runtime.heap(), value, parsed);
  if (!Among("eEfFgG%", type)) return UnknownCode(type, value);
  return FormatReal(runtime.heap(), value.number(), parsed);
}

}  // namespace cloister::model::jinja
