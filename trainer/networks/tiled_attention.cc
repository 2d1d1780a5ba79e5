#include "trainer/networks/tiled_attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "trainer/networks/row_tensors.h"

namespace cloister::trainer {
namespace {

using dp::clipping::RowTileKernel;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

std::int64_t Ceiling(std::int64_t value, std::int64_t of) { return (value + of - 1) / of; }

// One head's rows of numbers.
struct Rows {
  float* at;
  std::int64_t stride;
  float* operator[](std::int64_t row) const { return at + row * stride; }
  Rows From(std::int64_t row) const { return {at + row * stride, stride}; }
};

Rows HeadOf(const at::Tensor& x, std::int64_t batch, std::int64_t head) {
  return {static_cast<float*>(x.data_ptr()) + batch * x.stride(0) + head * x.stride(1),
          x.stride(2)};
}

// fp32 [batch, heads, tokens, size] that lies as [batch, tokens, heads, size].
at::Tensor ByTokens(const at::Tensor& like, std::int64_t size) {
  return at::empty({like.size(0), like.size(2), like.size(1), size}, like.options())
      .transpose(1, 2);
}

// Matrices in panels of the kernel's columns, `depth` steps each.
struct Panels {
  float* at;
  std::int64_t depth, columns;
  const float* operator[](std::int64_t panel) const { return at + panel * depth * columns; }
  // In the same memory, of no more steps.
  Panels OfDepth(std::int64_t steps) const { return {at, steps, columns}; }
};

class Workspace {
 public:
  explicit Workspace(const RowTileKernel& kernel) : kernel_(kernel) {}

  std::int64_t Padded(std::int64_t columns) const {
    return Ceiling(columns, kernel_.columns) * kernel_.columns;
  }
  // With room for whole tiles, and for the 16 numbers that score kernels work on.
  Rows Matrix(std::int64_t rows, std::int64_t columns) {
    const std::int64_t stride = Ceiling(Padded(columns), 16) * 16;
    return {Numbers(rows * stride), stride};
  }
  Panels PanelsFor(std::int64_t depth, std::int64_t columns) {
    return {Numbers(depth * Padded(columns)), depth, kernel_.columns};
  }

 private:
  float* Numbers(std::int64_t count) {
    memory_.push_back(at::empty({count}, at::TensorOptions(at::kFloat)));
    return memory_.back().mutable_data_ptr<float>();
  }

  const RowTileKernel& kernel_;
  std::vector<at::Tensor> memory_;
};

// x [rows, columns] as the right factor of products with x.
void Pack(const RowTileKernel& kernel, const Rows& x, std::int64_t rows, std::int64_t columns,
          const Panels& to) {
  for (std::int64_t c = 0; c < columns; c += kernel.columns) {
    dp::clipping::PackColumns(kernel, x.at + c, x.stride, columns - c, rows, to.at + c * to.depth);
  }
}

// x [rows, size] as the right factor of products with its transpose.
void Transpose(const RowTileKernel& kernel, const Rows& x, std::int64_t rows, std::int64_t size,
               const Panels& to) {
  for (std::int64_t r = 0; r < rows; r += kernel.columns) {
    kernel.transpose(x[r], x.stride, std::min(kernel.columns, rows - r), size,
                     to.at + r * to.depth);
  }
}

// Rows [first, first + count) of one head, which see themselves and all before them.
struct Block {
  std::int64_t first, count;
  std::int64_t end() const { return first + count; }
};

// to[i] = the block's row i of x times each token's column that the row, or its tile's last one,
// sees: x [tokens, size], `panels` of `size` steps.
void SeenProducts(const RowTileKernel& kernel, const Rows& x, const Block& block,
                  const Panels& panels, const Rows& to) {
  for (std::int64_t i = 0; i < block.count; i += kernel.rows) {
    const std::int64_t count = std::min(kernel.rows, block.count - i);
    const std::int64_t seen = block.first + i + count;
    for (std::int64_t c = 0; c < seen; c += kernel.columns) {
      kernel.multiply(x[block.first + i], x.stride, count, panels[c / kernel.columns], panels.depth,
                      /*add=*/false, to[i] + c, to.stride, {});
    }
  }
}

// to[i] = the sum over the tokens that the block's row i sees of weights[i][token] times that
// token's row of `panels`. The weights are zero up to the block's end.
void WeightedSums(const RowTileKernel& kernel, const Rows& weights, const Block& block,
                  const Panels& panels, std::int64_t size, const Rows& to) {
  for (std::int64_t i = 0; i < block.count; i += kernel.rows) {
    const std::int64_t count = std::min(kernel.rows, block.count - i);
    for (std::int64_t c = 0; c < size; c += kernel.columns) {
      kernel.multiply(weights[i], weights.stride, count, panels[c / kernel.columns],
                      block.first + i + count, /*add=*/false, to[i] + c, to.stride, {});
    }
  }
}

// to[token] += the sum over the block's rows i of weights[i][token] times row i of `panels`, of
// the block's rows, for the tokens below the block's end. `turned` holds a panel.
void AddTransposed(const RowTileKernel& kernel, const Rows& weights, const Block& block,
                   const Panels& panels, std::int64_t size, float* turned, const Rows& to) {
  for (std::int64_t token = 0; token < block.end(); token += kernel.columns) {
    const std::int64_t tokens = std::min(kernel.columns, block.end() - token);
    kernel.transpose(weights.at + token, weights.stride, block.count, tokens, turned);
    for (std::int64_t i = 0; i < tokens; i += kernel.rows) {
      for (std::int64_t c = 0; c < size; c += kernel.columns) {
        kernel.multiply(turned + i * kernel.columns, kernel.columns,
                        std::min(kernel.rows, tokens - i), panels[c / kernel.columns], block.count,
                        /*add=*/true, to[token + i] + c, to.stride, {});
      }
    }
  }
}

void CopyRows(const Rows& from, std::int64_t rows, std::int64_t size, float* to,
              std::int64_t stride) {
  for (std::int64_t i = 0; i < rows; ++i) std::copy_n(from[i], size, to + i * stride);
}

struct Shape {
  std::int64_t batch, heads, kv_heads, tokens, size, value_size;
  Shape(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v)
      : batch(q.size(0)),
        heads(q.size(1)),
        kv_heads(k.size(1)),
        tokens(q.size(2)),
        size(q.size(3)),
        value_size(v.size(3)) {
    CLOISTER_CHECK(k.size(0) == batch && v.size(0) == batch && v.size(1) == kv_heads &&
                   heads % kv_heads == 0);
    CLOISTER_CHECK(k.size(2) == tokens && v.size(2) == tokens && k.size(3) == size);
  }
  std::int64_t times() const { return heads / kv_heads; }
};

// Calls body(batch, kv_head) for all, on LibTorch's threads where there is enough to do.
template <typename Body>
void ForKeys(const Shape& s, const Body& body) {
  constexpr std::int64_t kGrain = std::int64_t{1} << 20;
  const std::int64_t work = s.tokens * s.tokens * (s.size + s.value_size) * s.times();
  at::parallel_for(0, s.batch * s.kv_heads, kGrain / (work + 1) + 1,
                   [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t i = begin; i < end; ++i)
                       body(i / s.kv_heads, i % s.kv_heads);
                   });
}

// Calls body(head, block) for the rows of the heads that key and value head `kv` serves.
template <typename Body>
void ForBlocks(const Shape& s, std::int64_t kv, std::int64_t rows, const Body& body) {
  for (std::int64_t head = kv * s.times(); head < (kv + 1) * s.times(); ++head) {
    for (std::int64_t first = 0; first < s.tokens; first += rows) {
      body(head, Block{first, std::min(rows, s.tokens - first)});
    }
  }
}

struct TiledAttentionFunction : torch::autograd::Function<TiledAttentionFunction> {
  static AttentionKernels kernels() {
    return {dp::clipping::BestRowTileKernel(), BestScoreKernels()};
  }

  static at::Tensor forward(AutogradContext* context, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, double scale) {
    const AttentionOutput output = AttendForward(q, k, v, scale, kernels());
    context->save_for_backward({q, k, v, output.y, output.statistics});
    context->saved_data["scale"] = scale;
    return output.y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor g = gradients[0].stride(-1) == 1 ? gradients[0] : gradients[0].contiguous();
    const AttentionGradients result =
        AttendBackward(g, saved[0], saved[1], saved[2], {saved[3], saved[4]},
                       context->saved_data["scale"].toDouble(), kernels());
    return {result.q, result.k, result.v, at::Tensor()};
  }
};

}  // namespace

AttentionOutput AttendForward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                              double scale, const AttentionKernels& kernels) {
  const RowTileKernel& tiles = kernels.tiles;
  const Shape s(q, k, v);
  const AttentionOutput output = {ByTokens(q, s.value_size),
                                  at::empty({s.batch, s.heads, s.tokens, 2}, q.options())};
  ForKeys(s, [&](std::int64_t batch, std::int64_t kv) {
    Workspace memory(tiles);
    const Panels keys = memory.PanelsFor(s.size, s.tokens);
    const Panels values = memory.PanelsFor(s.tokens, s.value_size);
    const Rows scores = memory.Matrix(tiles.columns, s.tokens);
    const Rows sums = memory.Matrix(tiles.columns, s.value_size);
    Transpose(tiles, HeadOf(k, batch, kv), s.tokens, s.size, keys);
    Pack(tiles, HeadOf(v, batch, kv), s.tokens, s.value_size, values);
    ForBlocks(s, kv, tiles.columns, [&](std::int64_t head, const Block& block) {
      SeenProducts(tiles, HeadOf(q, batch, head), block, keys, scores);
      kernels.scores.softmax(scores.at, scores.stride, block.count, block.first + 1, block.end(),
                             static_cast<float>(scale),
                             HeadOf(output.statistics, batch, head)[block.first]);
      WeightedSums(tiles, scores, block, values, s.value_size, sums);
      const Rows y = HeadOf(output.y, batch, head);
      CopyRows(sums, block.count, s.value_size, y[block.first], y.stride);
    });
  });
  return output;
}

AttentionGradients AttendBackward(const at::Tensor& g, const at::Tensor& q, const at::Tensor& k,
                                  const at::Tensor& v, const AttentionOutput& output, double scale,
                                  const AttentionKernels& kernels) {
  const RowTileKernel& tiles = kernels.tiles;
  const Shape s(q, k, v);
  const AttentionGradients result = {ByTokens(q, s.size), ByTokens(k, s.size),
                                     ByTokens(v, s.value_size)};
  ForKeys(s, [&](std::int64_t batch, std::int64_t kv) {
    Workspace memory(tiles);
    const Rows key_rows = HeadOf(k, batch, kv), value_rows = HeadOf(v, batch, kv);
    const Panels keys_across = memory.PanelsFor(s.size, s.tokens);
    const Panels values_across = memory.PanelsFor(s.value_size, s.tokens);
    const Panels keys = memory.PanelsFor(s.tokens, s.size);
    Transpose(tiles, key_rows, s.tokens, s.size, keys_across);
    Transpose(tiles, value_rows, s.tokens, s.value_size, values_across);
    Pack(tiles, key_rows, s.tokens, s.size, keys);
    const Rows scores = memory.Matrix(tiles.columns, s.tokens);
    const Rows changes = memory.Matrix(tiles.columns, s.tokens);
    const Rows sums = memory.Matrix(tiles.columns, s.size);
    const Rows inner = memory.Matrix(1, tiles.columns);
    const Rows turned = memory.Matrix(tiles.columns, tiles.columns);
    const Panels all_queries = memory.PanelsFor(tiles.columns, s.size);
    const Panels all_outer = memory.PanelsFor(tiles.columns, s.value_size);
    const Rows key_sums = memory.Matrix(s.tokens, s.size);
    const Rows value_sums = memory.Matrix(s.tokens, s.value_size);
    std::fill_n(key_sums.at, s.tokens * key_sums.stride, 0.0F);
    std::fill_n(value_sums.at, s.tokens * value_sums.stride, 0.0F);
    ForBlocks(s, kv, tiles.columns, [&](std::int64_t head, const Block& block) {
      const Rows query = HeadOf(q, batch, head), of = HeadOf(g, batch, head);
      const Rows y = HeadOf(output.y, batch, head);
      SeenProducts(tiles, query, block, keys_across, scores);
      SeenProducts(tiles, of, block, values_across, changes);
      kernels.scores.inner_products(of[block.first], of.stride, y[block.first], y.stride,
                                    block.count, s.value_size, inner.at);
      kernels.scores.softmax_backward(
          scores.at, changes.at, scores.stride, block.count, block.first + 1, block.end(),
          static_cast<float>(scale), HeadOf(output.statistics, batch, head)[block.first], inner.at);
      WeightedSums(tiles, changes, block, keys, s.size, sums);
      const Rows to = HeadOf(result.q, batch, head);
      CopyRows(sums, block.count, s.size, to[block.first], to.stride);
      const Panels queries = all_queries.OfDepth(block.count);
      const Panels outer = all_outer.OfDepth(block.count);
      Pack(tiles, query.From(block.first), block.count, s.size, queries);
      Pack(tiles, of.From(block.first), block.count, s.value_size, outer);
      AddTransposed(tiles, changes, block, queries, s.size, turned.at, key_sums);
      AddTransposed(tiles, scores, block, outer, s.value_size, turned.at, value_sums);
    });
    const Rows to_k = HeadOf(result.k, batch, kv), to_v = HeadOf(result.v, batch, kv);
    CopyRows(key_sums, s.tokens, s.size, to_k.at, to_k.stride);
    CopyRows(value_sums, s.tokens, s.value_size, to_v.at, to_v.stride);
  });
  return result;
}

bool TakesTiledAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const auto takes = [](const at::Tensor& x) {
    return x.scalar_type() == at::kFloat && x.numel() > 0 && x.stride(-1) == 1;
  };
  return dp::clipping::HasFastTiles() && takes(q) && takes(k) && takes(v) && q.size(2) == k.size(2);
}

at::Tensor TiledAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                          double scale) {
  return TiledAttentionFunction::apply(q, k, v, scale);
}

}  // namespace cloister::trainer
