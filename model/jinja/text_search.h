#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cloister::model::jinja {

// Searches that take time linear in text and pattern together, whatever they are made of.

// The first place of `pattern` at or after `from`, or npos.
std::size_t FindBytes(std::string_view text, std::string_view pattern, std::size_t from);
// The last place, or npos.
std::size_t FindLastBytes(std::string_view text, std::string_view pattern);

// Pieces of a text, as views into it. `most` cuts at most, or any number.
using Pieces = std::vector<std::string_view>;
Pieces Split(std::string_view text, std::string_view separator, std::optional<std::size_t> most);
Pieces SplitFromRight(std::string_view text, std::string_view separator,
                      std::optional<std::size_t> most);
// At runs of whitespace; none is empty.
Pieces SplitAtSpace(std::string_view text, std::optional<std::size_t> most);
Pieces SplitAtSpaceFromRight(std::string_view text, std::optional<std::size_t> most);
Pieces SplitLines(std::string_view text, bool keep_ends);

// How many pieces SplitAtSpace and SplitLines give.
std::size_t CountAtSpace(std::string_view text);
std::size_t CountLines(std::string_view text);

// How often `pattern` occurs without overlap; between all code points where it is empty.
std::size_t CountOf(std::string_view text, std::string_view pattern);
// With the first `most` occurrences replaced. Bounded by the caller, who knows CountOf and with it
// the result's `size`, or more.
std::string Replace(std::string_view text, std::string_view from, std::string_view to,
                    std::optional<std::size_t> most, std::size_t size);

}  // namespace cloister::model::jinja
