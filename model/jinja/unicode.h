#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace cloister::model::jinja {

// Text as Python sees it: a row of code points, with the classes and case mappings of the Unicode
// character database. A byte that is no UTF-8 is a code point of its own, kByte + the byte, and is
// written back as that byte.
inline constexpr char32_t kByte = 0xdc00;

// The code point that starts at `offset`, which is moved behind it. `offset` < text.size().
char32_t NextCodePoint(std::string_view text, std::size_t& offset);
// The offset of the code point that ends before `offset` > 0.
std::size_t PreviousCodePoint(std::string_view text, std::size_t offset);
void AppendCodePoint(std::string& text, char32_t code_point);
std::size_t CountCodePoints(std::string_view text);
// Where code point `index` starts; the size of the text where it has fewer.
std::size_t OffsetOf(std::string_view text, std::size_t index);

// str.isspace, str.strip's whitespace and \s.
bool IsSpace(char32_t c);
// Where str.splitlines cuts.
bool IsLineBreak(char32_t c);
bool IsAlpha(char32_t c);
bool IsDecimal(char32_t c);
bool IsDigit(char32_t c);
bool IsNumeric(char32_t c);
bool IsAlnum(char32_t c);  // and \w, but for the underscore
bool IsLower(char32_t c);
bool IsUpper(char32_t c);
bool IsTitle(char32_t c);
bool IsPrintable(char32_t c);
bool IsNameStart(char32_t c);  // of an identifier
bool IsNamePart(char32_t c);
// The value of a decimal digit of any script, or -1.
int DecimalValue(char32_t c);

std::string Lower(std::string_view text);
std::string Upper(std::string_view text);
std::string Casefold(std::string_view text);
std::string Capitalize(std::string_view text);  // str.capitalize
std::string TitleCase(std::string_view text);   // str.title
std::string SwapCase(std::string_view text);

// Without whitespace, or without the characters of `characters`, at either end.
enum class Ends { kBoth, kLeft, kRight };
std::string_view Strip(std::string_view text, Ends ends);
std::string_view StripOf(std::string_view text, std::string_view characters, Ends ends);

}  // namespace cloister::model::jinja
