#pragma once

#include <cstddef>
#include <cstdint>

namespace cloister::model::jinja {

// What a template may use. Templates come with models, and so from anywhere: each of these bounds
// is reached with an error, never with a crash or a hang.
struct Limits {
  std::size_t source_bytes = std::size_t{1} << 20;
  // Brackets, blocks and operators inside one another in the source.
  int nesting = 100;
  // Operators and filters applied to one another: `a + b + c` has two.
  int expression_height = 250;
  // Macros, statements and expressions being evaluated inside one another.
  int evaluation_depth = 1500;
  // Lists, dicts and iterators inside one another, in the input and while rendering.
  int value_depth = 200;
  // Steps of work: an expression, a statement, one to eight bytes or an item looked through, 32
  // bytes copied.
  std::uint64_t steps = 50'000'000;
  // Everything that lives at once while rendering: the input's copy, values, the text so far. What
  // an operation holds besides while it runs (a text decoded to code points, cut to pieces) comes
  // on top: mostly as much again, for some several times as much, never more than eight times.
  std::size_t memory_bytes = std::size_t{256} << 20;
};

}  // namespace cloister::model::jinja
