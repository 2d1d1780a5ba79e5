#include "model/tokenizer/utf8.h"

#include <cstring>

namespace cloister::model {
namespace {

// The first place at or after `at` that may hold a byte above 0x7f, eight bytes at a time.
std::size_t SkipAscii(std::string_view text, std::size_t at) {
  while (at + 8 <= text.size()) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + at, 8);
    if ((word & 0x8080808080808080U) != 0) break;
    at += 8;
  }
  return at;
}

}  // namespace

std::size_t Utf8Prefix(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    at = SkipAscii(text, at);
    if (at == text.size()) break;
    const Utf8Character next = CharacterAt(text, at);
    if (!next.valid) break;
    at += next.size;
  }
  return at;
}

bool IsAscii(std::string_view text) {
  std::size_t at = SkipAscii(text, 0);
  while (at < text.size() && static_cast<unsigned char>(text[at]) < 0x80) ++at;
  return at == text.size();
}

bool IsOneCharacter(std::string_view text) {
  if (text.empty()) return false;
  const Utf8Character first = CharacterAt(text, 0);
  return first.valid && first.size == text.size();
}

}  // namespace cloister::model
