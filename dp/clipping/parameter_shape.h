#pragma once

#include <cstdint>

namespace cloister::dp::clipping {

// A trainable parameter and its place in the flat vector of all of them: a matrix [rows, columns],
// row-major, or a vector (columns = 1).
struct ParameterShape {
  std::int64_t rows = 0;
  std::int64_t columns = 1;
  std::int64_t offset = 0;
  std::int64_t group = 0;  // for ClipRule::Style::kPerGroup alone

  std::int64_t elements() const { return rows * columns; }
};

}  // namespace cloister::dp::clipping
