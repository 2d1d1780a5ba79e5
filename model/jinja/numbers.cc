#include "model/jinja/numbers.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>

#include "model/jinja/objects.h"
#include "model/jinja/unicode.h"

namespace cloister::model::jinja {
namespace {

// Digits and decimal exponent of a finite value: 1.25 is "125" and 0.
struct Digits {
  std::string digits;
  int exponent = 0;
};

Digits Shortest(double value) {
  char buffer[40];
  const auto end =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  const std::string_view text(buffer, static_cast<std::size_t>(end.ptr - buffer));
  const std::size_t e = text.find('e');
  Digits result;
  for (const char c : text.substr(0, e)) {
    if (c != '.') result.digits += c;
  }
  const bool negative = text[e + 1] == '-';
  std::from_chars(text.data() + e + 2, text.data() + text.size(), result.exponent);
  if (negative) result.exponent = -result.exponent;
  return result;
}

int DigitOf(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'z') return c - 'a' + 10;
  if (c >= 'A' && c <= 'Z') return c - 'A' + 10;
  return 99;
}

// ASCII digits for those of any script, without whitespace around; empty where something else that
// is not ASCII stands there.
std::optional<std::string> Plain(std::string_view text) {
  text = Strip(text, Ends::kBoth);
  std::string plain;
  for (std::size_t offset = 0; offset < text.size();) {
    const char32_t c = NextCodePoint(text, offset);
    const int digit = c < 0x80 ? -1 : DecimalValue(c);
    if (c >= 0x80 && digit < 0) return {};
    plain += digit >= 0 ? static_cast<char>('0' + digit) : static_cast<char>(c);
  }
  return plain;
}

// Without underscores, each of which must stand between two digits (or after a base's prefix).
std::optional<std::string> WithoutUnderscores(std::string_view text, bool after_prefix) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      result += text[i];
      continue;
    }
    const bool before =
        i > 0 ? std::isalnum(static_cast<unsigned char>(text[i - 1])) != 0 : after_prefix;
    const bool behind =
        i + 1 < text.size() && std::isalnum(static_cast<unsigned char>(text[i + 1])) != 0;
    if (!before || !behind) return {};
  }
  return result;
}

int PrefixBase(std::string_view text) {
  if (text.size() < 2 || text[0] != '0') return 0;
  switch (text[1]) {
    case 'x':
    case 'X':
      return 16;
    case 'o':
    case 'O':
      return 8;
    case 'b':
    case 'B':
      return 2;
    default:
      return 0;
  }
}

}  // namespace

std::string FloatText(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  if (value == 0) return std::signbit(value) ? "-0.0" : "0.0";
  const std::string sign = value < 0 ? "-" : "";
  auto [digits, exponent] = Shortest(std::fabs(value));
  if (exponent < -4 || exponent >= 16) {
    std::string text = sign + digits.substr(0, 1);
    if (digits.size() > 1) text += "." + digits.substr(1);
    const int size = std::abs(exponent);
    return text + (exponent < 0 ? "e-" : "e+") + (size < 10 ? "0" : "") + std::to_string(size);
  }
  if (exponent < 0) {
    return sign + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  }
  const auto whole = static_cast<std::size_t>(exponent) + 1;
  if (digits.size() <= whole) {
    return sign + digits + std::string(whole - digits.size(), '0') + ".0";
  }
  return sign + digits.substr(0, whole) + "." + digits.substr(whole);
}

std::optional<std::int64_t> ParseInteger(std::string_view text, std::int64_t base) {
  const std::optional<std::string> plain = Plain(text);
  if (!plain || (base != 0 && (base < 2 || base > 36))) return {};
  std::string_view rest = *plain;
  const bool negative = rest.starts_with('-');
  if (negative || rest.starts_with('+')) rest.remove_prefix(1);
  const int prefix = PrefixBase(rest);
  const bool prefixed = prefix != 0 && (base == 0 || base == prefix);
  if (prefixed) rest.remove_prefix(2);
  const std::int64_t radix = base != 0 ? base : prefix != 0 ? prefix : 10;
  const std::optional<std::string> digits = WithoutUnderscores(rest, prefixed);
  if (!digits || digits->empty()) return {};
  if (base == 0 && !prefixed && digits->size() > 1 && (*digits)[0] == '0' &&
      digits->find_first_not_of('0') != std::string::npos) {
    return {};  // 010 is no number in base 0
  }
  std::int64_t result = 0;
  for (const char c : *digits) {
    const int digit = DigitOf(c);
    if (digit >= radix) return {};
    if (__builtin_mul_overflow(result, radix, &result) ||
        __builtin_sub_overflow(result, digit, &result)) {
      return {};
    }
  }
  // Built up below zero, where there is room for one more.
  if (negative) return result;
  if (result == std::numeric_limits<std::int64_t>::min()) return {};
  return -result;
}

std::optional<double> ParseFloat(std::string_view text) {
  const std::optional<std::string> plain = Plain(text);
  if (!plain) return {};
  std::string_view rest = *plain;
  const bool negative = rest.starts_with('-');
  if (negative || rest.starts_with('+')) rest.remove_prefix(1);
  const std::optional<std::string> digits = WithoutUnderscores(rest, false);
  if (!digits || digits->empty()) return {};
  std::string name;
  for (const char c : *digits)
    name += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  double value = 0;
  if (name == "inf" || name == "infinity") {
    value = std::numeric_limits<double>::infinity();
  } else if (name == "nan") {
    value = std::numeric_limits<double>::quiet_NaN();
  } else {
    if (name[0] != '.' && (name[0] < '0' || name[0] > '9')) return {};
    if (name.starts_with("0x")) return {};
    const auto end = std::from_chars(name.data(), name.data() + name.size(), value);
    if (end.ptr != name.data() + name.size()) return {};
    if (end.ec == std::errc::result_out_of_range) value = std::strtod(name.c_str(), nullptr);
  }
  return negative ? -value : value;
}

double RoundTo(double value, std::int64_t digits) {
  if (!std::isfinite(value) || digits > 330) return value;
  if (digits < -330) return std::copysign(0.0, value);
  if (digits >= 0) {
    std::string text(static_cast<std::size_t>(digits) + 340, '\0');
    // printf rounds the exact value, half to even.
    const int size =
        std::snprintf(text.data(), text.size(), "%.*f", static_cast<int>(digits), value);
    text.resize(static_cast<std::size_t>(std::max(size, 0)));
    return std::strtod(text.c_str(), nullptr);
  }
  const long double scale = std::pow(10.0L, static_cast<long double>(-digits));
  return static_cast<double>(std::nearbyint(static_cast<long double>(value) / scale) * scale);
}

base::Result<std::int64_t> AsInteger(const Value& value) {
  if (value.is_integral()) return value.integer();
  if (value.is(Kind::kUndefined)) return UndefinedFault(value);
  return Fault("'" + std::string(TypeName(value)) + "' object cannot be interpreted as an integer");
}

}  // namespace cloister::model::jinja
