#include "model/jinja/text_layout.h"

#include <algorithm>
#include <vector>

#include "model/jinja/text_search.h"
#include "model/jinja/text_sink.h"
#include "model/jinja/unicode.h"

namespace cloister::model::jinja {
namespace {

std::string Times(std::string_view text, std::size_t count) {
  if (text.size() == 1) return std::string(count, text[0]);
  std::string result;
  result.reserve(text.size() * count);
  for (std::size_t i = 0; i < count; ++i) result += text;
  return result;
}

}  // namespace

base::Result<std::string> Repeated(Heap& heap, std::string_view text, std::int64_t count) {
  if (count <= 0 || text.empty()) return std::string();
  const auto times = static_cast<std::uint64_t>(count);
  std::uint64_t bytes = 0;
  if (__builtin_mul_overflow(times, text.size(), &bytes)) bytes = ~std::uint64_t{0};
  CLOISTER_RETURN_IF_ERROR(heap.Admit(bytes));
  return Times(text, times);
}

base::Result<std::string> Aligned(Heap& heap, std::string_view text, std::int64_t width,
                                  std::string_view fill, Alignment alignment) {
  const auto length = static_cast<std::int64_t>(CountCodePoints(text));
  if (width <= length) {
    CLOISTER_RETURN_IF_ERROR(heap.Admit(text.size()));
    return std::string(text);
  }
  const std::int64_t missing = width - length;
  std::int64_t left = 0;
  if (alignment == Alignment::kRight) left = missing;
  // Python puts the odd one to the left where the width is odd.
  if (alignment == Alignment::kCenter) left = missing / 2 + (missing & width & 1);
  std::uint64_t size = 0;
  if (__builtin_mul_overflow(static_cast<std::uint64_t>(missing), fill.size(), &size)) {
    size = ~std::uint64_t{0};
  }
  CLOISTER_RETURN_IF_ERROR(heap.Admit(size));
  size += text.size();
  CLOISTER_RETURN_IF_ERROR(heap.Admit(size));
  std::string result;
  result.reserve(size);
  for (std::int64_t i = 0; i < left; ++i) result += fill;
  result += text;
  for (std::int64_t i = left; i < missing; ++i) result += fill;
  return result;
}

base::Result<std::string> TabsExpanded(Heap& heap, std::string_view text, std::int64_t size) {
  std::string result;
  std::int64_t column = 0;
  for (std::size_t offset = 0; offset < text.size();) {
    const std::size_t start = offset;
    const char32_t c = NextCodePoint(text, offset);
    if (c != '\t') {
      CLOISTER_RETURN_IF_ERROR(MakeRoom(heap, result, offset - start));
      result += text.substr(start, offset - start);
      column = c == '\n' || c == '\r' ? 0 : column + 1;
    } else if (size > 0) {
      const std::int64_t spaces = size - column % size;
      column += spaces;
      CLOISTER_RETURN_IF_ERROR(heap.Admit(static_cast<std::uint64_t>(spaces)));
      CLOISTER_RETURN_IF_ERROR(MakeRoom(heap, result, static_cast<std::size_t>(spaces)));
      result.append(static_cast<std::size_t>(spaces), ' ');
    }
  }
  return result;
}

base::Result<std::string> ReplaceWithin(Heap& heap, std::string_view text, std::string_view from,
                                        std::string_view to, std::optional<std::size_t> most) {
  heap.SpendLook(text.size());
  CLOISTER_RETURN_IF_ERROR(heap.Check());
  std::uint64_t size = text.size();
  if (to.size() > from.size()) {
    const std::uint64_t count = std::min<std::uint64_t>(CountOf(text, from), most.value_or(~0ULL));
    std::uint64_t growth = 0;
    if (__builtin_mul_overflow(count, to.size() - from.size(), &growth) ||
        __builtin_add_overflow(size, growth, &size)) {
      size = ~std::uint64_t{0};
    }
  }
  CLOISTER_RETURN_IF_ERROR(heap.Admit(size));
  heap.SpendLook(size);
  CLOISTER_RETURN_IF_ERROR(heap.Check());
  return Replace(text, from, to, most, size);
}

std::string Escape(std::string_view text) {
  std::size_t size = text.size();
  for (const char c : text)
    size += c == '&' || c == '\'' || c == '"' ? 4 : c == '<' || c == '>' ? 3 : 0;
  std::string result;
  result.reserve(size);
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '\'':
        result += "&#39;";
        break;
      case '"':
        result += "&#34;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

namespace {

// Python's textwrap knows these as whitespace, and no other.
bool IsWrapSpace(char32_t c) { return c == ' ' || (c >= 0x09 && c <= 0x0d); }
bool IsWordPunctuation(char32_t c) {
  return c == '_' || IsAlnum(c) || c == '!' || c == '"' || c == '\'' || c == '&' || c == '.' ||
         c == ',' || c == '?';
}
bool IsWord(char32_t c) { return c == '_' || IsAlnum(c); }
bool IsLetter(char32_t c) { return IsWord(c) && !IsDecimal(c); }

// Cuts a line into the chunks between which it may be broken.
class Chunker {
 public:
  Chunker(std::u32string_view line, bool hyphens) : line_(line), hyphens_(hyphens) {}

  std::vector<std::u32string> Chunks() const {
    std::vector<std::u32string> chunks;
    for (std::size_t at = 0; at < line_.size();) {
      const std::size_t end = End(at);
      chunks.emplace_back(line_.substr(at, end - at));
      at = end;
    }
    return chunks;
  }

 private:
  char32_t At(std::size_t i) const { return i < line_.size() ? line_[i] : 0; }

  // Two dashes or more between words.
  bool DashAt(std::size_t at, std::size_t& end) const {
    if (at == 0 || !IsWordPunctuation(At(at - 1)) || At(at) != '-' || At(at + 1) != '-') {
      return false;
    }
    end = at;
    while (At(end) == '-') ++end;
    return IsWord(At(end));
  }

  // A hyphen at `at` behind which a word may be cut.
  bool HyphenAt(std::size_t at, std::size_t start) const {
    if (At(at) != '-') return false;
    const bool letters = at >= 2 && IsLetter(At(at - 1)) && IsLetter(At(at - 2));
    const bool one =
        at >= 3 && IsLetter(At(at - 3)) && At(at - 2) == '-' && IsWordPunctuation(At(at - 1));
    if (at <= start || !(letters || one)) return false;
    const std::size_t next = at + 1;
    return IsLetter(At(next)) &&
           (IsLetter(At(next + 1)) || (At(next + 1) == '-' && IsLetter(At(next + 2))));
  }

  std::size_t End(std::size_t at) const {
    std::size_t end = at;
    if (IsWrapSpace(line_[at])) {
      while (end < line_.size() && IsWrapSpace(line_[end])) ++end;
      return end;
    }
    if (hyphens_ && DashAt(at, end)) return end;
    for (end = at + 1; end < line_.size() && !IsWrapSpace(line_[end]); ++end) {
      if (!hyphens_) continue;
      if (HyphenAt(end, at)) return end + 1;
      std::size_t ignored = 0;
      if (DashAt(end, ignored)) return end;
    }
    return end;
  }

  std::u32string_view line_;
  bool hyphens_;
};

bool IsBlank(const std::u32string& chunk) {
  return std::all_of(chunk.begin(), chunk.end(), IsSpace);
}

// How much of a chunk that is too long goes on a line with `room` left.
std::size_t CutOf(const std::u32string& chunk, std::size_t room, bool hyphens) {
  if (!hyphens || chunk.size() <= room) return room;
  const std::size_t hyphen = std::u32string_view(chunk).substr(0, room).rfind(U'-');
  if (hyphen == std::u32string_view::npos || hyphen == 0) return room;
  const bool only_hyphens =
      std::all_of(chunk.begin(), chunk.begin() + static_cast<std::ptrdiff_t>(hyphen),
                  [](char32_t c) { return c == '-'; });
  return only_hyphens ? room : hyphen + 1;
}

std::string Encoded(const std::vector<std::u32string>& chunks) {
  std::string text;
  for (const auto& chunk : chunks) {
    for (const char32_t c : chunk) AppendCodePoint(text, c);
  }
  return text;
}

}  // namespace

base::Result<std::string> Wrapped(Heap& heap, std::string_view line, const WrapOptions& options,
                                  std::string_view separator) {
  // Decoded, and cut into chunks that may be of one character.
  CLOISTER_RETURN_IF_ERROR(heap.Admit(line.size() * 2 * sizeof(char32_t) +
                                      CountAtSpace(line) * 4 * sizeof(std::u32string)));
  std::u32string decoded;
  for (std::size_t offset = 0; offset < line.size();) decoded += NextCodePoint(line, offset);
  std::vector<std::u32string> chunks = Chunker(decoded, options.break_on_hyphens).Chunks();
  std::reverse(chunks.begin(), chunks.end());
  std::string result;
  bool first = true;
  while (!chunks.empty()) {
    heap.Spend(1);
    CLOISTER_RETURN_IF_ERROR(heap.Check());
    std::vector<std::u32string> current;
    std::size_t size = 0;
    if (!first && IsBlank(chunks.back())) chunks.pop_back();
    while (!chunks.empty() && size + chunks.back().size() <= options.width) {
      size += chunks.back().size();
      current.push_back(std::move(chunks.back()));
      chunks.pop_back();
    }
    if (!chunks.empty() && chunks.back().size() > options.width) {
      if (options.break_long_words) {
        std::u32string& chunk = chunks.back();
        heap.SpendBytes(4 * chunk.size());
        const std::size_t cut = CutOf(chunk, options.width - size, options.break_on_hyphens);
        current.push_back(chunk.substr(0, cut));
        chunk.erase(0, cut);
      } else if (current.empty()) {
        current.push_back(std::move(chunks.back()));
        chunks.pop_back();
      }
    }
    if (!current.empty() && IsBlank(current.back())) current.pop_back();
    if (current.empty()) continue;
    const std::string encoded = Encoded(current);
    heap.SpendBytes(separator.size());
    CLOISTER_RETURN_IF_ERROR(MakeRoom(heap, result, separator.size() + encoded.size()));
    if (!first) result += separator;
    first = false;
    result += encoded;
  }
  return result;
}

}  // namespace cloister::model::jinja
