#include "dp/clipping/row_product.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/check.h"

namespace cloister::dp::clipping {
namespace {

// A panel of so many steps and the rows' part beside it stay in a core's second cache.
constexpr std::int64_t kDepth = 640;
constexpr std::int64_t kRowBlock = 256;
// Less work than so many multiplications is not worth a thread of its own.
constexpr std::int64_t kGrain = std::int64_t{1} << 22;
// To put a panel in order and fetch it costs as much as to multiply it with so many rows.
constexpr std::int64_t kRowsOfPacking = 8;
constexpr std::int64_t kFewestRows = 4;

// Parts of `size` numbers, of `parts` parts in all, as even as whole numbers allow.
struct Split {
  std::int64_t size, parts;
  Split(std::int64_t all, std::int64_t most) : size(all), parts((all + most - 1) / most) {}
  std::int64_t Begin(std::int64_t part) const { return size * part / parts; }
};

struct Problem {
  const float *x, *w, *bias;  // the bias may be null
  float* y;
  std::int64_t rows, depth, columns;
  bool w_by_columns;  // w [columns, depth], else [depth, columns]
};

class PanelProduct {
 public:
  PanelProduct(const Problem& problem, const RowTileKernel& kernel)
      : problem_(problem), kernel_(kernel), depths_(problem.depth, kDepth) {}

  std::int64_t panels() const { return (problem_.columns + kernel_.columns - 1) / kernel_.columns; }

  // Panels [begin, end) of the product's rows [first, first + rows).
  void Compute(std::int64_t first, std::int64_t rows, std::int64_t begin, std::int64_t end) const {
    const at::Tensor scratch =
        at::empty({(std::min(kDepth, problem_.depth) + rows) * kernel_.columns},
                  at::TensorOptions(at::kFloat));
    float* const panel = scratch.mutable_data_ptr<float>();
    float* const last = panel + std::min(kDepth, problem_.depth) * kernel_.columns;
    const Split tiles(rows, kernel_.rows);
    for (std::int64_t part = 0; part < depths_.parts; ++part) {
      const std::int64_t step = depths_.Begin(part), depth = depths_.Begin(part + 1) - step;
      for (std::int64_t p = begin; p < end; ++p) {
        const std::int64_t column = p * kernel_.columns, count = Count(p);
        Pack(step, depth, column, count, panel);
        // What hangs over the last column is made beside the product.
        const bool whole = count == kernel_.columns;
        const std::int64_t stride = whole ? problem_.columns : kernel_.columns;
        float* const to = whole ? problem_.y + first * stride + column : last;
        if (part == 0 && problem_.bias != nullptr) {
          for (std::int64_t i = 0; i < rows; ++i) {
            std::copy_n(problem_.bias + column, count, to + i * stride);
          }
        }
        for (std::int64_t t = 0; t < tiles.parts; ++t) {
          const std::int64_t row = tiles.Begin(t);
          kernel_.multiply(problem_.x + (first + row) * problem_.depth + step, problem_.depth,
                           tiles.Begin(t + 1) - row, panel, depth,
                           part > 0 || problem_.bias != nullptr, to + row * stride, stride,
                           p + 1 < end ? Ahead(part, p + 1, t) : Ahead(part + 1, begin, t));
        }
        if (!whole && part + 1 == depths_.parts) {
          for (std::int64_t i = 0; i < rows; ++i) {
            std::copy_n(last + i * stride, count,
                        problem_.y + (first + i) * problem_.columns + column);
          }
        }
      }
    }
  }

 private:
  std::int64_t Count(std::int64_t p) const {
    return std::min(kernel_.columns, problem_.columns - p * kernel_.columns);
  }

  void Pack(std::int64_t step, std::int64_t depth, std::int64_t column, std::int64_t count,
            float* panel) const {
    if (problem_.w_by_columns) {
      kernel_.transpose(problem_.w + column * problem_.depth + step, problem_.depth, count, depth,
                        panel);
      return;
    }
    PackColumns(kernel_, problem_.w + step * problem_.columns + column, problem_.columns, count,
                depth, panel);
  }

  // The t-th tile's share of a panel's numbers of w, if there is such a part: four rows of w for a
  // panel of rows, and a row for every sixteenth step of the depth for a panel of columns.
  FetchAhead Ahead(std::int64_t part, std::int64_t p, std::int64_t t) const {
    if (part == depths_.parts) return {};
    const std::int64_t step = depths_.Begin(part), depth = depths_.Begin(part + 1) - step;
    const std::int64_t column = p * kernel_.columns;
    const std::int64_t row = problem_.w_by_columns ? 4 * t : depth / 16 * t;
    if (row >= (problem_.w_by_columns ? Count(p) : depth)) return {};
    const std::int64_t first = problem_.w_by_columns ? (column + row) * problem_.depth + step
                                                     : (step + row) * problem_.columns + column;
    const auto* const from = reinterpret_cast<const char*>(problem_.w + first);
    if (problem_.w_by_columns) return {.row = from, .spread = 4 * problem_.depth, .step = 64};
    return {.row = from, .spread = 64, .step = 4 * problem_.columns};
  }

  const Problem& problem_;
  const RowTileKernel& kernel_;
  Split depths_;
};

bool ByColumns(const at::Tensor& w) { return w.stride(1) == 1 && w.stride(0) == w.size(1); }
bool ByRows(const at::Tensor& w) { return w.stride(0) == 1 && w.stride(1) == w.size(0); }

}  // namespace

bool TakesRowProduct(const at::Tensor& x, const at::Tensor& w) {
  return HasFastTiles() && x.is_cpu() && x.scalar_type() == at::kFloat &&
         w.scalar_type() == at::kFloat && w.dim() == 2 && x.numel() >= kFewestRows * x.size(-1) &&
         w.numel() > 0 && x.is_contiguous() && (ByColumns(w) || ByRows(w));
}

at::Tensor RowProduct(const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias) {
  return RowProduct(x, w, bias, BestRowTileKernel());
}

at::Tensor RowProduct(const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias,
                      const RowTileKernel& kernel) {
  CLOISTER_CHECK(x.dim() > 0 && w.dim() == 2 && x.size(-1) == w.size(1));
  CLOISTER_CHECK(!bias.defined() || (bias.dim() == 1 && bias.size(0) == w.size(0)));
  std::vector<std::int64_t> shape = x.sizes().vec();
  shape.back() = w.size(0);
  const at::Tensor y = at::empty(shape, x.options());
  const at::Tensor addend = bias.defined() ? bias.contiguous() : bias;
  const Problem problem = {.x = x.const_data_ptr<float>(),
                           .w = w.const_data_ptr<float>(),
                           .bias = bias.defined() ? addend.const_data_ptr<float>() : nullptr,
                           .y = y.mutable_data_ptr<float>(),
                           .rows = x.numel() / x.size(-1),
                           .depth = w.size(1),
                           .columns = w.size(0),
                           .w_by_columns = ByColumns(w)};
  const PanelProduct product(problem, kernel);
  const Split blocks(problem.rows, kRowBlock);
  const std::int64_t panels = product.panels();
  const std::int64_t work =
      (std::min(problem.rows, kRowBlock) + kRowsOfPacking) * kernel.columns * problem.depth;
  at::parallel_for(0, blocks.parts * panels, kGrain / work + 1,
                   [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t at = begin; at < end;) {
                       const std::int64_t block = at / panels, first = at % panels;
                       const std::int64_t last = std::min(panels, first + end - at);
                       const std::int64_t row = blocks.Begin(block);
                       product.Compute(row, blocks.Begin(block + 1) - row, first, last);
                       at += last - first;
                     }
                   });
  return y;
}

}  // namespace cloister::dp::clipping
