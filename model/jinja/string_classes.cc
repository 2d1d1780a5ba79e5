#include "model/jinja/string_classes.h"

#include <cstddef>

#include "model/jinja/unicode.h"

namespace cloister::model::jinja {
namespace {

template <typename Is>
bool All(std::string_view text, Is is) {
  for (std::size_t offset = 0; offset < text.size();) {
    if (!is(NextCodePoint(text, offset))) return false;
  }
  return true;
}

// Whether some character is `wanted` and none is `other` or in title case.
template <typename Wanted, typename Other>
bool OneCase(std::string_view text, Wanted wanted, Other other) {
  bool found = false;
  for (std::size_t offset = 0; offset < text.size();) {
    const char32_t c = NextCodePoint(text, offset);
    if (other(c) || IsTitle(c)) return false;
    found = found || wanted(c);
  }
  return found;
}

}  // namespace

bool IsAlphaText(std::string_view text) { return !text.empty() && All(text, IsAlpha); }
bool IsDecimalText(std::string_view text) { return !text.empty() && All(text, IsDecimal); }
bool IsDigitText(std::string_view text) { return !text.empty() && All(text, IsDigit); }
bool IsNumericText(std::string_view text) { return !text.empty() && All(text, IsNumeric); }
bool IsAlnumText(std::string_view text) { return !text.empty() && All(text, IsAlnum); }
bool IsSpaceText(std::string_view text) { return !text.empty() && All(text, IsSpace); }

bool IsAsciiText(std::string_view text) {
  return All(text, [](char32_t c) { return c < 0x80; });
}
bool IsPrintableText(std::string_view text) { return All(text, IsPrintable); }

bool IsLowerText(std::string_view text) { return OneCase(text, IsLower, IsUpper); }
bool IsUpperText(std::string_view text) { return OneCase(text, IsUpper, IsLower); }

bool IsTitleText(std::string_view text) {
  bool inside = false, found = false;
  for (std::size_t offset = 0; offset < text.size();) {
    const char32_t c = NextCodePoint(text, offset);
    if (IsUpper(c) || IsTitle(c)) {
      if (inside) return false;
      inside = found = true;
    } else if (IsLower(c)) {
      if (!inside) return false;
    } else {
      inside = false;
    }
  }
  return found;
}

bool IsIdentifierText(std::string_view text) {
  if (text.empty()) return false;
  std::size_t first = 0;
  return IsNameStart(NextCodePoint(text, first)) && All(text.substr(first), IsNamePart);
}

}  // namespace cloister::model::jinja
