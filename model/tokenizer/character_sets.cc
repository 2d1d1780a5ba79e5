#include "model/tokenizer/character_sets.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <utility>

#include "model/tokenizer/unicode_categories.h"

namespace cloister::model {
namespace {

using Name = std::pair<std::string_view, std::string_view>;

constexpr std::string_view kWhiteSpace =
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}"
    "\\x{205f}\\x{3000}";
constexpr std::string_view kNoWhiteSpace =
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}"
    "\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}"
    "\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}";

// Marks that are Alphabetic since Unicode 15 or 16, beside the letters.
constexpr std::string_view kAlphabeticMarks =
    "\\x{363}-\\x{36f}\\x{897}\\x{c04}\\x{cf3}\\x{f82}\\x{f83}\\x{1dd3}-\\x{1de6}\\x{10d69}"
    "\\x{10efc}\\x{11080}\\x{11081}\\x{11241}\\x{113b8}-\\x{113c0}\\x{113c2}\\x{113c5}"
    "\\x{113c7}-\\x{113ca}\\x{113cc}\\x{113cd}\\x{11f00}\\x{11f01}\\x{11f03}"
    "\\x{11f34}-\\x{11f3a}\\x{11f3e}-\\x{11f40}\\x{1611e}-\\x{1612e}\\x{1e08f}";
// Ideographs since then.
constexpr std::string_view kHanAdditions = "\\x{2b739}\\x{2ebf0}-\\x{2ee5d}\\x{31350}-\\x{323af}";
// Outside of classes ² ³ ¹ ¼ ½ ¾ are word characters to Oniguruma.
constexpr std::string_view kLatinNumbers = "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}";

// General categories, one or two letters, and which of PCRE2's names they are.
constexpr std::array<std::string_view, 37> kCategories = {
    "C",  "Cc", "Cf", "Cn", "Co", "Cs", "L",  "Ll", "Lm", "Lo", "Lt", "Lu", "M",
    "Mc", "Me", "Mn", "N",  "Nd", "Nl", "No", "P",  "Pc", "Pd", "Pe", "Pf", "Pi",
    "Po", "Ps", "S",  "Sc", "Sk", "Sm", "So", "Z",  "Zl", "Zp", "Zs"};
constexpr std::array<Name, 7> kLongNames = {
    Name{"letter", "L"}, Name{"mark", "M"},      Name{"number", "N"}, Name{"punctuation", "P"},
    Name{"symbol", "S"}, Name{"separator", "Z"}, Name{"other", "C"}};

std::string Range(char32_t first, char32_t last) {
  char text[40];
  std::snprintf(text, sizeof text, "\\x{%x}-\\x{%x}", static_cast<unsigned>(first),
                static_cast<unsigned>(last));
  return text;
}

// What Unicode added since PCRE2's tables to a category or a group of categories.
std::string Additions(std::string_view category) {
  std::string set;
  for (const CategoryRange& range : CategoriesSinceUnicode14()) {
    if (range.category.starts_with(category)) set += Range(range.first, range.last);
  }
  return set;
}

std::string Category(std::string_view name) {
  return "\\p{" + std::string(name) + "}" + Additions(name);
}

std::string Alphabetic() {
  return "\\p{Alphabetic}" + Additions("L") + std::string(kAlphabeticMarks);
}

std::string Lower(std::string_view text) {
  std::string lower;
  for (const char c : text) {
    if (c == '_' || c == ' ' || c == '-') continue;
    lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return lower;
}

bool IsName(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == ' ' || c == '-';
  });
}

}  // namespace

std::string ShorthandSet(char letter) {
  switch (letter) {
    case 's':
      return std::string(kWhiteSpace);
    case 'S':
      return std::string(kNoWhiteSpace);
    case 'w':
      return "\\p{Alphabetic}" + Category("M") + Category("Nd") + Category("Pc") + Additions("L");
    case 'd':
      return Category("Nd");
    case 'h':
      return "0-9A-Fa-f";
    case 'H':
      return "\\x{0}-\\x{2f}\\x{3a}-\\x{40}\\x{47}-\\x{60}\\x{67}-\\x{10ffff}";
    default:
      return {};
  }
}

std::string LoneWordSet() { return ShorthandSet('w') + std::string(kLatinNumbers); }

std::optional<std::string> PosixSet(std::string_view name) {
  if (name == "alpha") return Alphabetic();
  if (name == "digit") return Category("Nd");
  if (name == "alnum") return Alphabetic() + Category("Nd");
  if (name == "upper") return "\\p{Uppercase}" + Additions("Lu");
  if (name == "lower") return "\\p{Lowercase}" + Additions("Ll");
  if (name == "punct") return Category("P") + Category("S");
  if (name == "space") return ShorthandSet('s');
  if (name == "blank") return Category("Zs") + "\\x{9}";
  if (name == "cntrl") return Category("Cc");
  if (name == "xdigit") return ShorthandSet('h');
  if (name == "word") return ShorthandSet('w');
  if (name == "ascii") return std::string("\\x{0}-\\x{7f}");
  return std::nullopt;
}

std::optional<std::string> PropertySet(std::string_view name) {
  if (!IsName(name)) return std::nullopt;
  const std::string lower = Lower(name);
  for (const std::string_view category : kCategories) {
    if (Lower(category) == lower) return Category(category);
  }
  for (const auto& [long_name, category] : kLongNames) {
    if (long_name == lower) return Category(category);
  }
  if (lower == "any") return std::string("\\x{0}-\\x{10ffff}");
  if (lower == "alphabetic") return PosixSet("alpha");
  if (lower == "uppercase") return PosixSet("upper");
  if (lower == "lowercase") return PosixSet("lower");
  if (lower == "whitespace") return ShorthandSet('s');
  if (auto posix = PosixSet(lower)) return posix;
  if (lower == "han") return "\\p{sc:Han}" + std::string(kHanAdditions);
  // A script, without its extensions; whether there is one of this name is PCRE2's to say.
  return "\\p{sc:" + std::string(name) + "}";
}

}  // namespace cloister::model
