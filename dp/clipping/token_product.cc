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

// Columns [begin, begin + columns) of x, in panels of the kernel's width, zeros at the end:
// panels[(p * tokens + t) * width + c] = x[t][begin + p * width + c].
void PackPanels(const FactorView& x, std::int64_t begin, std::int64_t columns,
                const TileKernel& kernel, float* panels) {
  for (std::int64_t start = 0; start < columns; start += kernel.columns) {
    PackColumns(kernel, x.values + begin + start, x.width, columns - start, x.tokens,
                panels + start * x.tokens);
  }
}

// Asks for memory that is written soon: rows x 32 whole numbers or so, `stride` apart.
void Fetch(const std::int32_t* target, std::int64_t rows, std::int64_t columns,
           std::int64_t stride) {
  constexpr std::int64_t kLine = 64 / sizeof(std::int32_t);
  for (std::int64_t i = 0; i < rows; ++i, target += stride) {
    for (std::int64_t j = 0; j < columns; j += kLine) __builtin_prefetch(target + j, 1, 2);
  }
}

}  // namespace

void ForEachRows(const FactorView& left, const FactorView& right, const ProductVisitor& visit,
                 const std::int32_t* target, const TileKernel& kernel) {
  const std::int64_t depth = left.tokens, columns = right.width, width = kernel.columns;
  if (depth == 0) return;
  const std::int64_t block = std::max(width, kBlockNumbers / depth / width * width);
  Scratch right_panels(RoundUp(columns, width) * depth);
  Scratch left_panels(std::min(block, RoundUp(left.width, width)) * depth);
  // Whole tiles of some rows; what hangs over the last column is made beside it.
  Scratch strip_memory(kernel.rows * columns), last_memory(kernel.rows * width);
  float *const rights = right_panels.data(), *const lefts = left_panels.data();
  float *const strip = strip_memory.data(), *const last = last_memory.data();
  const std::int64_t whole = columns / width * width;
  PackPanels(right, 0, columns, kernel, rights);
  for (std::int64_t begin = 0; begin < left.width; begin += block) {
    const std::int64_t block_rows = std::min(block, left.width - begin);
    PackPanels(left, begin, block_rows, kernel, lefts);
    for (std::int64_t row = 0; row < block_rows; row += kernel.rows) {
      const std::int64_t rows = std::min(kernel.rows, block_rows - row);
      const float* panel = lefts + row / width * width * depth + row % width;
      for (std::int64_t column = 0; column < whole; column += width) {
        if (target != nullptr) {
          Fetch(target + (begin + row) * columns + column, rows, width, columns);
        }
        kernel.multiply(panel, rights + column * depth, depth, strip + column, columns);
      }
      if (whole < columns) {
        kernel.multiply(panel, rights + whole * depth, depth, last, width);
        for (std::int64_t i = 0; i < kernel.rows; ++i) {
          std::copy_n(last + i * width, columns - whole, strip + i * columns + whole);
        }
      }
      visit(begin + row, {strip, static_cast<std::size_t>(rows * columns)});
    }
  }
}

std::vector<double> TokenGram(const FactorView& x, const TileKernel& kernel) {
  const std::int64_t tokens = x.tokens, width = kernel.columns;
  std::vector<double> gram(static_cast<std::size_t>(tokens * tokens));
  Scratch tile_memory(kernel.rows * width);
  Scratch panel_memory(RoundUp(tokens, width) * std::min(kGramTerms, x.width));
  float *const tile = tile_memory.data(), *const panels = panel_memory.data();
  for (std::int64_t start = 0; start < x.width; start += kGramTerms) {
    const std::int64_t depth = std::min(kGramTerms, x.width - start);
    for (std::int64_t row = 0; row < tokens; row += width) {
      kernel.transpose(x.values + row * x.width + start, x.width, std::min(width, tokens - row),
                       depth, panels + row * depth);
    }
    for (std::int64_t column = 0; column < tokens; column += width) {
      const float* right = panels + column * depth;
      for (std::int64_t row = column; row < tokens; row += kernel.rows) {
        const float* left = panels + row / width * width * depth + row % width;
        kernel.multiply(left, right, depth, tile, width);
        for (std::int64_t i = row; i < std::min(row + kernel.rows, tokens); ++i) {
          double* to = gram.data() + i * tokens + column;
          const float* from = tile + (i - row) * width;
          const std::int64_t count = std::min(width, i + 1 - column);
          for (std::int64_t j = 0; j < count; ++j) to[j] += from[j];
        }
      }
    }
  }
  return gram;
}

}  // namespace cloister::dp::clipping
