#pragma once

#include <unicode/utf8.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace cloister::model {

struct Utf8Character {
  char32_t point = 0;    // meaningless unless valid
  std::size_t size = 0;  // bytes; of what is no UTF-8, the longest part that begins a character
  bool valid = false;
};

// The character that begins at `at` < text.size().
inline Utf8Character CharacterAt(std::string_view text, std::size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  if (lead < 0x80) return {lead, 1, true};
  const char* data = text.data() + at;
  const std::int64_t left = static_cast<std::int64_t>(text.size() - at);
  std::int64_t size = 0;
  UChar32 point = 0;
  U8_NEXT(data, size, left, point);
  return {static_cast<char32_t>(point), static_cast<std::size_t>(size), point >= 0};
}

inline void AppendUtf8(std::string& text, char32_t point) {
  char bytes[U8_MAX_LENGTH];
  std::int32_t size = 0;
  U8_APPEND_UNSAFE(bytes, size, static_cast<UChar32>(point));
  text.append(bytes, static_cast<std::size_t>(size));
}

// The bytes of `text` that are UTF-8 from its beginning on.
std::size_t Utf8Prefix(std::string_view text);
inline bool IsUtf8(std::string_view text) { return Utf8Prefix(text) == text.size(); }
bool IsAscii(std::string_view text);
bool IsOneCharacter(std::string_view text);

}  // namespace cloister::model
