#include "model/jinja/unicode.h"

#include <unicode/bytestream.h>
#include <unicode/casemap.h>
#include <unicode/uchar.h>

#include <algorithm>
#include <vector>

namespace cloister::model::jinja {
namespace {

bool IsContinuation(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

bool IsAscii(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return (c & 0x80) != 0; });
}

char LowerAscii(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
char UpperAscii(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }

template <typename Change>
std::string Each(std::string_view text, Change change) {
  std::string result(text);
  for (char& c : result) c = change(c);
  return result;
}

template <typename Map>
std::string WithIcu(std::string_view text, Map map) {
  std::string result;
  icu::StringByteSink<std::string> sink(&result, static_cast<std::int32_t>(text.size()));
  UErrorCode error = U_ZERO_ERROR;
  map(icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())), sink, error);
  return U_SUCCESS(error) ? result : std::string(text);
}

// The titlecase of one code point, which may be several: of ß it is Ss.
std::string OneTitle(char32_t c) {
  std::string text;
  AppendCodePoint(text, c);
  return WithIcu(text, [](icu::StringPiece from, icu::ByteSink& to, UErrorCode& error) {
    constexpr std::uint32_t kThisOne = U_TITLECASE_WHOLE_STRING | U_TITLECASE_NO_BREAK_ADJUSTMENT;
    icu::CaseMap::utf8ToTitle("", kThisOne, nullptr, from, to, nullptr, error);
  });
}

UNumericType NumericType(char32_t c) {
  return static_cast<UNumericType>(
      u_getIntPropertyValue(static_cast<UChar32>(c), UCHAR_NUMERIC_TYPE));
}

bool Has(char32_t c, UProperty property) {
  return u_hasBinaryProperty(static_cast<UChar32>(c), property) != 0;
}

}  // namespace

char32_t NextCodePoint(std::string_view text, std::size_t& offset) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = at(offset);
  if (lead < 0x80) {
    ++offset;
    return lead;
  }
  const std::size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  bool valid = lead >= 0xc2 && lead <= 0xf4 && text.size() - offset >= size;
  char32_t c = size == 4 ? lead & 0x07 : size == 3 ? lead & 0x0f : lead & 0x1f;
  for (std::size_t i = 1; valid && i < size; ++i) {
    valid = IsContinuation(text[offset + i]);
    c = c << 6 | (at(offset + i) & 0x3f);
  }
  valid = valid && c <= 0x10ffff && !(c >= 0xd800 && c <= 0xdfff) && !(size == 3 && c < 0x800) &&
          !(size == 4 && c < 0x10000);
  if (!valid) {
    ++offset;
    return kByte + lead;
  }
  offset += size;
  return c;
}

std::size_t PreviousCodePoint(std::string_view text, std::size_t offset) {
  for (std::size_t back = std::min<std::size_t>(4, offset); back > 1; --back) {
    std::size_t end = offset - back;
    NextCodePoint(text, end);
    if (end == offset) return offset - back;
  }
  return offset - 1;
}

void AppendCodePoint(std::string& text, char32_t c) {
  const auto add = [&](char32_t byte) { text += static_cast<char>(byte); };
  if (c < 0x80) {
    add(c);
  } else if (c >= kByte + 0x80 && c <= kByte + 0xff) {
    add(c - kByte);
  } else if (c < 0x800) {
    add(0xc0 | c >> 6), add(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    add(0xe0 | c >> 12), add(0x80 | (c >> 6 & 0x3f)), add(0x80 | (c & 0x3f));
  } else {
    add(0xf0 | c >> 18), add(0x80 | (c >> 12 & 0x3f));
    add(0x80 | (c >> 6 & 0x3f)), add(0x80 | (c & 0x3f));
  }
}

std::size_t CountCodePoints(std::string_view text) {
  if (IsAscii(text)) return text.size();
  std::size_t count = 0;
  for (std::size_t offset = 0; offset < text.size(); ++count) NextCodePoint(text, offset);
  return count;
}

std::size_t OffsetOf(std::string_view text, std::size_t index) {
  std::size_t offset = 0;
  for (; index > 0 && offset < text.size(); --index) NextCodePoint(text, offset);
  return offset;
}

bool IsSpace(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x1f);
  return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
         c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool IsLineBreak(char32_t c) {
  return (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

bool IsAlpha(char32_t c) { return u_isalpha(static_cast<UChar32>(c)) != 0; }
bool IsDecimal(char32_t c) { return NumericType(c) == U_NT_DECIMAL; }
bool IsDigit(char32_t c) { return IsDecimal(c) || NumericType(c) == U_NT_DIGIT; }
bool IsNumeric(char32_t c) { return NumericType(c) != U_NT_NONE; }
bool IsAlnum(char32_t c) { return IsAlpha(c) || IsNumeric(c); }
bool IsLower(char32_t c) { return Has(c, UCHAR_LOWERCASE); }
bool IsUpper(char32_t c) { return Has(c, UCHAR_UPPERCASE); }
bool IsTitle(char32_t c) { return u_istitle(static_cast<UChar32>(c)) != 0; }
bool IsNameStart(char32_t c) { return c == '_' || Has(c, UCHAR_XID_START); }
bool IsNamePart(char32_t c) { return Has(c, UCHAR_XID_CONTINUE); }

int DecimalValue(char32_t c) { return static_cast<int>(u_charDigitValue(static_cast<UChar32>(c))); }

bool IsPrintable(char32_t c) {
  if (c == ' ') return true;
  const auto type = static_cast<unsigned>(u_charType(static_cast<UChar32>(c)));
  constexpr unsigned kNot = U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CS_MASK | U_GC_CO_MASK |
                            U_GC_CN_MASK | U_GC_ZS_MASK | U_GC_ZL_MASK | U_GC_ZP_MASK;
  return (U_MASK(type) & kNot) == 0;
}

std::string Lower(std::string_view text) {
  if (IsAscii(text)) return Each(text, LowerAscii);
  return WithIcu(text, [](icu::StringPiece from, icu::ByteSink& to, UErrorCode& error) {
    icu::CaseMap::utf8ToLower("", 0, from, to, nullptr, error);
  });
}

std::string Upper(std::string_view text) {
  if (IsAscii(text)) return Each(text, UpperAscii);
  return WithIcu(text, [](icu::StringPiece from, icu::ByteSink& to, UErrorCode& error) {
    icu::CaseMap::utf8ToUpper("", 0, from, to, nullptr, error);
  });
}

std::string Casefold(std::string_view text) {
  if (IsAscii(text)) return Each(text, LowerAscii);
  return WithIcu(text, [](icu::StringPiece from, icu::ByteSink& to, UErrorCode& error) {
    icu::CaseMap::utf8Fold(0, from, to, nullptr, error);
  });
}

std::string Capitalize(std::string_view text) {
  if (text.empty()) return {};
  std::size_t first = 0;
  const char32_t c = NextCodePoint(text, first);
  // The rest is lowered where it stands: a sigma at the end of a word has a form of its own.
  const std::string lower = Lower(text);
  return OneTitle(c) + lower.substr(Lower(text.substr(0, first)).size());
}

std::string TitleCase(std::string_view text) {
  std::string result;
  const std::string lower = Lower(text);
  bool inside = false;  // behind a cased character
  std::size_t done = 0;
  for (std::size_t offset = 0; offset < text.size();) {
    const std::size_t start = offset;
    const char32_t c = NextCodePoint(text, offset);
    const std::size_t size = Lower(text.substr(start, offset - start)).size();
    if (inside) {
      result.append(lower, done, size);
    } else {
      result += OneTitle(c);
    }
    done += size;
    inside = IsLower(c) || IsUpper(c) || IsTitle(c);
  }
  return result;
}

std::string SwapCase(std::string_view text) {
  std::string result;
  const std::string lower = Lower(text);  // where it stands, as in Capitalize
  std::size_t done = 0;
  for (std::size_t offset = 0; offset < text.size();) {
    const std::size_t start = offset;
    const char32_t c = NextCodePoint(text, offset);
    const std::string_view one = text.substr(start, offset - start);
    const std::size_t size = Lower(one).size();
    if (IsUpper(c)) {
      result.append(lower, done, size);
    } else {
      result += IsLower(c) ? Upper(one) : std::string(one);
    }
    done += size;
  }
  return result;
}

namespace {

template <typename Drops>
std::string_view StripWhere(std::string_view text, Ends ends, Drops drops) {
  while (ends != Ends::kRight && !text.empty()) {
    std::size_t next = 0;
    if (!drops(NextCodePoint(text, next))) break;
    text.remove_prefix(next);
  }
  while (ends != Ends::kLeft && !text.empty()) {
    const std::size_t last = PreviousCodePoint(text, text.size());
    std::size_t next = last;
    if (!drops(NextCodePoint(text, next))) break;
    text = text.substr(0, last);
  }
  return text;
}

}  // namespace

std::string_view Strip(std::string_view text, Ends ends) { return StripWhere(text, ends, IsSpace); }

std::string_view StripOf(std::string_view text, std::string_view characters, Ends ends) {
  std::vector<char32_t> set;
  for (std::size_t offset = 0; offset < characters.size();) {
    set.push_back(NextCodePoint(characters, offset));
  }
  std::sort(set.begin(), set.end());
  return StripWhere(text, ends,
                    [&](char32_t c) { return std::binary_search(set.begin(), set.end(), c); });
}

}  // namespace cloister::model::jinja
