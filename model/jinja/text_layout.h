#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "model/jinja/heap.h"

namespace cloister::model::jinja {

// Texts that can be much longer than what they are made of: each asks the heap for room first.

enum class Alignment { kLeft, kRight, kCenter };
// str.ljust, str.rjust, str.center: filled up to `width` code points with one character.
base::Result<std::string> Aligned(Heap& heap, std::string_view text, std::int64_t width,
                                  std::string_view fill, Alignment alignment);
// `text` `count` times; nothing for a negative count.
base::Result<std::string> Repeated(Heap& heap, std::string_view text, std::int64_t count);
base::Result<std::string> TabsExpanded(Heap& heap, std::string_view text, std::int64_t size);
base::Result<std::string> ReplaceWithin(Heap& heap, std::string_view text, std::string_view from,
                                        std::string_view to, std::optional<std::size_t> most);

// HTML-safe text, as markupsafe.escape. At most kMostEscaped times as long.
constexpr std::size_t kMostEscaped = 5;
std::string Escape(std::string_view text);

// textwrap.wrap of one line, as the filter wordwrap calls it: cut into lines of at most `width`
// code points. `width` > 0.
struct WrapOptions {
  std::size_t width = 79;
  bool break_long_words = true;
  bool break_on_hyphens = true;
};
base::Result<std::string> Wrapped(Heap& heap, std::string_view line, const WrapOptions& options,
                                  std::string_view separator);

}  // namespace cloister::model::jinja
