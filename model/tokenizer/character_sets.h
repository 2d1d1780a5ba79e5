#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace cloister::model {

// Sets of characters as the inside of a PCRE2 class, with Unicode 16.0's general categories.

// \s, \w, \d and \h of Oniguruma; `letter` is one of s, w, d, h, or of S, W, D, H for the opposite.
std::string ShorthandSet(char letter);

// \w where it stands outside of a class, which there has a few characters more.
std::string LoneWordSet();

// \p{name}: a general category (L, Lu, …), a script, or a POSIX name (Alpha, Punct, …, in any
// case). Nothing for a name that is not known.
std::optional<std::string> PropertySet(std::string_view name);

// [:name:], by its lower-case name.
std::optional<std::string> PosixSet(std::string_view name);

}  // namespace cloister::model
