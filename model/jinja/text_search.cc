#include "model/jinja/text_search.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "model/jinja/unicode.h"

namespace cloister::model::jinja {
namespace {

constexpr std::size_t kNone = std::string_view::npos;
constexpr std::size_t kShortPattern = 16;

std::size_t Most(std::optional<std::size_t> most) {
  return most.value_or(std::numeric_limits<std::size_t>::max());
}

std::string Reversed(std::string_view text) { return {text.rbegin(), text.rend()}; }

}  // namespace

std::size_t FindBytes(std::string_view text, std::string_view pattern, std::size_t from) {
  if (from > text.size()) return kNone;
  if (pattern.empty()) return from;
  // std::string_view::find takes the product of the sizes at worst; glibc's memmem is linear.
  if (pattern.size() <= kShortPattern) return text.find(pattern, from);
  const void* found =
      ::memmem(text.data() + from, text.size() - from, pattern.data(), pattern.size());
  if (found == nullptr) return kNone;
  return static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
}

std::size_t FindLastBytes(std::string_view text, std::string_view pattern) {
  if (pattern.size() > text.size()) return kNone;
  if (pattern.empty()) return text.size();
  const std::size_t found = FindBytes(Reversed(text), Reversed(pattern), 0);
  return found == kNone ? kNone : text.size() - found - pattern.size();
}

Pieces Split(std::string_view text, std::string_view separator, std::optional<std::size_t> most) {
  Pieces pieces;
  std::size_t start = 0;
  while (pieces.size() < Most(most)) {
    const std::size_t found = FindBytes(text, separator, start);
    if (found == kNone) break;
    pieces.push_back(text.substr(start, found - start));
    start = found + separator.size();
  }
  pieces.push_back(text.substr(start));
  return pieces;
}

Pieces SplitFromRight(std::string_view text, std::string_view separator,
                      std::optional<std::size_t> most) {
  const std::string mirrored = Reversed(text);
  Pieces pieces = Split(mirrored, Reversed(separator), most);
  for (std::string_view& piece : pieces) {
    const auto offset = static_cast<std::size_t>(piece.data() - mirrored.data());
    piece = text.substr(text.size() - offset - piece.size(), piece.size());
  }
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

Pieces SplitAtSpace(std::string_view text, std::optional<std::size_t> most) {
  Pieces pieces;
  for (text = Strip(text, Ends::kLeft); !text.empty(); text = Strip(text, Ends::kLeft)) {
    if (pieces.size() == Most(most)) {
      pieces.push_back(text);
      break;
    }
    std::size_t end = 0;
    for (std::size_t next = 0; next < text.size(); end = next) {
      if (IsSpace(NextCodePoint(text, next))) break;
    }
    pieces.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return pieces;
}

Pieces SplitAtSpaceFromRight(std::string_view text, std::optional<std::size_t> most) {
  Pieces pieces;
  for (text = Strip(text, Ends::kRight); !text.empty(); text = Strip(text, Ends::kRight)) {
    if (pieces.size() == Most(most)) {
      pieces.push_back(text);
      break;
    }
    std::size_t start = text.size();
    while (start > 0) {
      const std::size_t before = PreviousCodePoint(text, start);
      std::size_t next = before;
      if (IsSpace(NextCodePoint(text, next))) break;
      start = before;
    }
    pieces.push_back(text.substr(start));
    text = text.substr(0, start);
  }
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

Pieces SplitLines(std::string_view text, bool keep_ends) {
  Pieces lines;
  std::size_t start = 0;
  for (std::size_t offset = 0; offset < text.size();) {
    const std::size_t end = offset;
    const char32_t c = NextCodePoint(text, offset);
    if (!IsLineBreak(c)) continue;
    if (c == '\r' && offset < text.size() && text[offset] == '\n') ++offset;
    lines.push_back(text.substr(start, (keep_ends ? offset : end) - start));
    start = offset;
  }
  if (start < text.size()) lines.push_back(text.substr(start));
  return lines;
}

std::size_t CountAtSpace(std::string_view text) {
  std::size_t count = 0;
  bool inside = false;
  for (std::size_t offset = 0; offset < text.size();) {
    const bool space = IsSpace(NextCodePoint(text, offset));
    count += !space && !inside ? 1 : 0;
    inside = !space;
  }
  return count;
}

std::size_t CountLines(std::string_view text) {
  std::size_t count = 1;
  for (std::size_t offset = 0; offset < text.size();) {
    count += IsLineBreak(NextCodePoint(text, offset)) ? 1 : 0;
  }
  return count;
}

std::size_t CountOf(std::string_view text, std::string_view pattern) {
  if (pattern.empty()) return CountCodePoints(text) + 1;
  std::size_t count = 0;
  for (std::size_t at = FindBytes(text, pattern, 0); at != kNone;
       at = FindBytes(text, pattern, at + pattern.size())) {
    ++count;
  }
  return count;
}

std::string Replace(std::string_view text, std::string_view from, std::string_view to,
                    std::optional<std::size_t> most, std::size_t size) {
  std::string result;
  result.reserve(size);
  std::size_t start = 0, count = 0;
  if (from.empty()) {
    while (count++ < Most(most)) {
      result += to;
      if (start == text.size()) return result;
      const std::size_t begin = start;
      NextCodePoint(text, start);
      result += text.substr(begin, start - begin);
    }
  } else {
    for (std::size_t at = FindBytes(text, from, 0); at != kNone && count++ < Most(most);
         at = FindBytes(text, from, start)) {
      result += text.substr(start, at - start);
      result += to;
      start = at + from.size();
    }
  }
  result += text.substr(start);
  return result;
}

}  // namespace cloister::model::jinja
