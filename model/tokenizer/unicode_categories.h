#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace cloister::model {

// Characters whose general category in Unicode 16.0 is another than in 14.0: `category` is the one
// of 16.0 (UAX #44, 5.7.1). The libraries at hand know 14.0 (PCRE2 10.42) and 15.0 (ICU 72), the
// tokenizers that models were made with know 16.0.
struct CategoryRange {
  char32_t first = 0;
  char32_t last = 0;
  std::string_view category;  // "Lo"
};
std::span<const CategoryRange> CategoriesSinceUnicode14();

// What the cutting patterns of tokenizers tell apart.
enum class CharacterClass : std::uint8_t {
  kOther,      // punctuation, symbols, marks, controls, …
  kLetter,     // \p{L}
  kNumber,     // \p{N}
  kSpace,      // White_Space but CR and LF
  kLineBreak,  // CR and LF
};

CharacterClass ClassOf(char32_t point);
// The classes of U+0000 … U+FFFF.
std::span<const CharacterClass> BasicPlaneClasses();

// Unicode's White_Space.
bool IsWhiteSpace(char32_t point);
bool IsNumber(char32_t point);  // \p{N}
bool IsMark(char32_t point);    // \p{M}
// Assigned in Unicode 9.0, whose tables Hugging Face's normalizers have: to them any other
// character is one that never changes.
bool IsInUnicode9(char32_t point);
// ASCII's punctuation and symbols, and \p{P} of Unicode 8.0, which is what Hugging Face's
// Punctuation pre-tokenizer knows.
bool IsPunctuation(char32_t point);
// A character of a word (UTS #18, C: Alphabetic, marks, decimal digits, connectors, joiners).
bool IsWordCharacter(char32_t point);

}  // namespace cloister::model
