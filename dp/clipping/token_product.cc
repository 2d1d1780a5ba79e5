#include "dp/clipping/token_product.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace cloister::dp::clipping {
namespace {

// Rows of the product that are worked on while the right factor passes by: their factor is to stay
// in a core's second cache.
constexpr std::int64_t kBlockNumbers = std::int64_t{1} << 15;

std::int64_t RoundUp(std::int64_t value, std::int64_t to) { return (value + to - 1) / to * to; }

// LibTorch aligns it to a cache's lines.
class Scratch {
 public:
  explicit Scratch(std::int64_t numbers)
      : tensor_(at::empty({numbers}, at::TensorOptions(at::kFloat))) {}
  float* data() { return tensor_.mutable_data_ptr<float>(); }

 private:
  at::Tensor tensor_;
};

// Columns [begin, begin + columns) of x, in panels of `width` columns, zeros at the end:
// panels[(p * tokens + t) * width + c] = x[t][begin + p * width + c].
void PackColumns(const FactorView& x, std::int64_t begin, std::int64_t columns, std::int64_t width,
                 float* panels) {
  for (std::int64_t start = 0; start < columns; start += width) {
    const std::int64_t count = std::min(width, columns - start);
    const float* from = x.values + begin + start;
    for (std::int64_t t = 0; t < x.tokens; ++t, from += x.width, panels += width) {
      std::copy_n(from, count, panels);
      std::fill(panels + count, panels + width, 0.0F);
    }
  }
}

}  // namespace

void ForEachRows(const FactorView& left, const FactorView& right, const ProductVisitor& visit,
                 const TileKernel& kernel) {
  const std::int64_t depth = left.tokens, columns = right.width, width = kernel.columns;
  if (depth == 0) return;
  Scratch rights(RoundUp(columns, width) * depth);
  PackColumns(right, 0, columns, width, rights.data());
  // Whole tiles of some rows; what hangs over the last column is made beside it.
  const std::int64_t whole = columns / width * width;
  Scratch strip(kernel.rows * columns), last(kernel.rows * width);
  const std::int64_t block =
      std::max(width, kBlockNumbers / std::max<std::int64_t>(1, depth) / width * width);
  Scratch lefts(std::min(block, RoundUp(left.width, width)) * depth);
  for (std::int64_t begin = 0; begin < left.width; begin += block) {
    const std::int64_t block_rows = std::min(block, left.width - begin);
    PackColumns(left, begin, block_rows, width, lefts.data());
    for (std::int64_t row = 0; row < block_rows; row += kernel.rows) {
      const float* panel = lefts.data() + row / width * width * depth + row % width;
      for (std::int64_t column = 0; column < whole; column += width) {
        kernel.multiply(panel, rights.data() + column * depth, depth, strip.data() + column,
                        columns);
      }
      if (whole < columns) {
        kernel.multiply(panel, rights.data() + whole * depth, depth, last.data(), width);
        for (std::int64_t i = 0; i < kernel.rows; ++i) {
          std::copy_n(last.data() + i * width, columns - whole, strip.data() + i * columns + whole);
        }
      }
      const std::int64_t rows = std::min(kernel.rows, block_rows - row);
      visit(begin + row, {strip.data(), static_cast<std::size_t>(rows * columns)});
    }
  }
}

std::vector<double> TokenGram(const FactorView& x, const TileKernel& kernel) {
  const std::int64_t tokens = x.tokens, width = kernel.columns;
  std::vector<double> gram(static_cast<std::size_t>(tokens * tokens));
  Scratch tile(kernel.rows * width);
  Scratch panels(RoundUp(tokens, width) * std::min(kGramTerms, x.width));
  for (std::int64_t start = 0; start < x.width; start += kGramTerms) {
    const std::int64_t depth = std::min(kGramTerms, x.width - start);
    for (std::int64_t row = 0; row < tokens; row += width) {
      kernel.transpose(x.values + row * x.width + start, x.width, std::min(width, tokens - row),
                       depth, panels.data() + row * depth);
    }
    for (std::int64_t column = 0; column < tokens; column += width) {
      const float* right = panels.data() + column * depth;
      for (std::int64_t row = column; row < tokens; row += kernel.rows) {
        const float* left = panels.data() + row / width * width * depth + row % width;
        kernel.multiply(left, right, depth, tile.data(), width);
        for (std::int64_t i = row; i < std::min(row + kernel.rows, tokens); ++i) {
          double* to = gram.data() + i * tokens + column;
          const float* from = tile.data() + (i - row) * width;
          const std::int64_t count = std::min(width, i + 1 - column);
          for (std::int64_t j = 0; j < count; ++j) to[j] += from[j];
        }
      }
    }
  }
  return gram;
}

}  // namespace cloister::dp::clipping
