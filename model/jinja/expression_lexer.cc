#include "model/jinja/expression_lexer.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <string>

#include "model/jinja/lexer.h"
#include "model/jinja/numbers.h"
#include "model/jinja/unicode.h"

namespace cloister::model::jinja {
namespace {

bool IsDigitOf(char c, int base) {
  if (base == 16)
    return std::string_view("0123456789abcdefABCDEF").find(c) != std::string_view::npos;
  return c >= '0' && c < '0' + std::min(base, 10);
}

// Behind digits with single underscores between them; `at` itself where there are none.
std::size_t PastDigits(std::string_view text, std::size_t at, int base, bool leading_underscore) {
  std::size_t end = at;
  while (end < text.size()) {
    const bool underscore = text[end] == '_' && (end > at || leading_underscore);
    const std::size_t digit = underscore ? end + 1 : end;
    if (digit >= text.size() || !IsDigitOf(text[digit], base)) break;
    end = digit + 1;
  }
  return end;
}

// Behind a float that starts at `at`, or `at`.
std::size_t PastFloat(std::string_view text, std::size_t at) {
  if (at > 0 && text[at - 1] == '.') return at;
  const std::size_t whole = PastDigits(text, at, 10, false);
  if (whole == at) return at;
  std::size_t end = whole;
  if (end < text.size() && text[end] == '.') {
    const std::size_t fraction = PastDigits(text, end + 1, 10, false);
    if (fraction > end + 1) end = fraction;
  }
  if (end < text.size() && (text[end] == 'e' || text[end] == 'E')) {
    std::size_t exponent = end + 1;
    if (exponent < text.size() && (text[exponent] == '+' || text[exponent] == '-')) ++exponent;
    const std::size_t stop = PastDigits(text, exponent, 10, false);
    if (stop > exponent) return stop;
  }
  return end > whole ? end : at;
}

std::size_t PastInteger(std::string_view text, std::size_t at) {
  if (text[at] != '0') return PastDigits(text, at, 10, false);
  const char prefix = at + 1 < text.size() ? static_cast<char>(text[at + 1] | 0x20) : '\0';
  const int base = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 0;
  if (base != 0) {
    const std::size_t end = PastDigits(text, at + 2, base, true);
    if (end > at + 2) return end;
  }
  return PastDigits(text, at, 1, false);  // zeros
}

std::size_t PastName(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    std::size_t next = at;
    if (!IsNamePart(NextCodePoint(text, next))) break;
    at = next;
  }
  return at;
}

std::string WithoutUnderscores(std::string_view text) {
  std::string result(text);
  result.erase(std::remove(result.begin(), result.end(), '_'), result.end());
  return result;
}

// Reads the escapes of a string literal as Python does.
class Unescaper {
 public:
  Unescaper(std::string_view text, int line) : text_(text), line_(line) {}

  base::Result<std::string> Run() {
    while (at_ < text_.size()) {
      const std::size_t backslash = std::min(text_.find('\\', at_), text_.size());
      result_ += text_.substr(at_, backslash - at_);
      at_ = backslash;
      if (at_ == text_.size()) break;
      ++at_;
      CLOISTER_RETURN_IF_ERROR(Escape());
    }
    return std::move(result_);
  }

 private:
  base::Status Escape() {
    const char c = text_[at_];
    static constexpr std::string_view kNames = "\\'\"abfnrtv";
    static constexpr std::string_view kMeanings = "\\'\"\a\b\f\n\r\t\v";
    if (const std::size_t named = kNames.find(c); named != std::string_view::npos) {
      result_ += kMeanings[named];
      ++at_;
      return {};
    }
    if (c == '\n') {
      ++at_;
      return {};
    }
    if (c >= '0' && c <= '7') return Octal();
    if (c == 'x') return Hex(2);
    if (c == 'u') return Hex(4);
    if (c == 'U') return Hex(8);
    if (c == 'N') return NamedCharacter();
    result_ += '\\';  // no escape
    return c & 0x80 ? Spelled() : base::Status();
  }

  base::Status Octal() {
    char32_t value = 0;
    for (int digits = 0; digits < 3 && at_ < text_.size() && IsDigitOf(text_[at_], 8); ++digits) {
      value = value * 8 + static_cast<char32_t>(text_[at_++] - '0');
    }
    return Append(value);
  }

  base::Status Hex(std::size_t digits) {
    char32_t value = 0;
    for (std::size_t i = 0; i < digits; ++i) {
      ++at_;
      if (at_ >= text_.size() || !IsDigitOf(text_[at_], 16)) {
        return SyntaxFault(line_, "truncated escape in a string");
      }
      const char c = text_[at_];
      value = value * 16 + static_cast<char32_t>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    ++at_;
    return Append(value);
  }

  base::Status NamedCharacter() {
    const std::size_t close = text_.find('}', at_);
    if (at_ + 1 >= text_.size() || text_[at_ + 1] != '{' || close == std::string_view::npos) {
      return SyntaxFault(line_, "malformed \\N character escape");
    }
    const std::string name(text_.substr(at_ + 2, close - at_ - 2));
    UErrorCode error = U_ZERO_ERROR;
    const UChar32 c = u_charFromName(U_UNICODE_CHAR_NAME, name.c_str(), &error);
    if (U_FAILURE(error)) return SyntaxFault(line_, "unknown Unicode character name");
    at_ = close + 1;
    return Append(static_cast<char32_t>(c));
  }

  base::Status Append(char32_t c) {
    if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
      return SyntaxFault(line_, "a string escape names no character");
    }
    AppendCodePoint(result_, c);
    return {};
  }

  // Python turns characters beyond ASCII into escapes before it reads escapes: a backslash in front
  // of one leaves that one spelled out.
  base::Status Spelled() {
    const char32_t c = NextCodePoint(text_, at_);
    const int digits = c < 0x100 ? 2 : c < 0x10000 ? 4 : 8;
    result_ += c < 0x100 ? 'x' : c < 0x10000 ? 'u' : 'U';
    for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) {
      result_ += "0123456789abcdef"[c >> shift & 0xf];
    }
    return {};
  }

  std::string_view text_;
  int line_;
  std::size_t at_ = 0;
  std::string result_;
};

// The length of the operator at `at`, or 0.
std::size_t OperatorSize(std::string_view source, std::size_t at) {
  const std::string_view two = source.substr(at, 2);
  for (const std::string_view known : {"//", "**", "==", "!=", ">=", "<="}) {
    if (two == known) return 2;
  }
  return std::string_view("+-/*%~[](){}><=.:|,;").find(source[at]) != std::string_view::npos ? 1
                                                                                             : 0;
}

base::Result<std::size_t> ReadString(std::string_view source, std::size_t at, Token& token) {
  const char quote = source[at];
  for (std::size_t i = at + 1; i < source.size(); ++i) {
    if (source[i] == '\\') {
      ++i;
    } else if (source[i] == quote) {
      token.kind = TokenKind::kString;
      CLOISTER_ASSIGN_OR_RETURN(token.text,
                                Unescaper(source.substr(at + 1, i - at - 1), token.line).Run());
      return i + 1;
    }
  }
  return SyntaxFault(token.line,
                     std::string("a string that starts with ") + quote + " does not end");
}

base::Result<std::size_t> ReadNumber(std::string_view source, std::size_t at, Token& token) {
  if (const std::size_t end = PastFloat(source, at); end > at) {
    token.kind = TokenKind::kFloat;
    token.real = ParseFloat(WithoutUnderscores(source.substr(at, end - at))).value_or(0);
    return end;
  }
  const std::size_t end = PastInteger(source, at);
  const std::string digits = WithoutUnderscores(source.substr(at, end - at));
  auto integer = ParseInteger(digits, 0);
  if (!integer) {
    integer = ParseInteger("-" + digits, 0);
    token.only_negative = true;
  }
  if (!integer) return SyntaxFault(token.line, "an integer does not fit 64 bits");
  token.kind = TokenKind::kInteger;
  token.integer = *integer;
  return end;
}

}  // namespace

base::Result<std::size_t> ReadToken(std::string_view source, std::size_t at, Token& token) {
  const char c = source[at];
  if (c >= '0' && c <= '9') return ReadNumber(source, at, token);
  if (const std::size_t end = PastName(source, at); end > at) {
    token.kind = TokenKind::kName;
    token.text = source.substr(at, end - at);
    std::size_t first = 0;
    if (!IsNameStart(NextCodePoint(token.text, first))) {
      return SyntaxFault(token.line, "invalid character in identifier");
    }
    return end;
  }
  if (c == '\'' || c == '"') return ReadString(source, at, token);
  const std::size_t size = OperatorSize(source, at);
  if (size == 0) {
    std::size_t next = at;
    NextCodePoint(source, next);
    return SyntaxFault(token.line,
                       "unexpected character '" + std::string(source.substr(at, next - at)) + "'");
  }
  token.kind = TokenKind::kOperator;
  token.text = source.substr(at, size);
  return at + size;
}

}  // namespace cloister::model::jinja
