#include "trainer/networks/tiled_attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/check.h"
#include "dp/clipping/once_differentiable.h"
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
// token's row of `panels`, in pieces, so that roundings do not pile up over thousands of tokens.
// The weights are zero up to the block's end.
void WeightedSums(const RowTileKernel& kernel, const Rows& weights, const Block& block,
                  const Panels& panels, std::int64_t size, const Rows& to) {
  constexpr std::int64_t kPiece = 512;
  for (std::int64_t i = 0; i < block.count; i += kernel.rows) {
    const std::int64_t count = std::min(kernel.rows, block.count - i);
    const std::int64_t seen = block.first + i + count;
    for (std::int64_t c = 0; c < size; c += kernel.columns) {
      for (std::int64_t t = 0; t < seen; t += kPiece) {
        kernel.multiply(weights[i] + t, weights.stride, count,
                        panels[c / kernel.columns] + t * kernel.columns, std::min(kPiece, seen - t),
                        /*add=*/t > 0, to[i] + c, to.stride, {});
      }
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

// Heads [first, end) of a batch, all of which one key head serves.
struct Heads {
  std::int64_t batch, kv, first, end;
};

// How many parts the heads of one key are shared in, so that each thread has about `share` of them.
// Each part puts keys and values in order for itself: they are no more than threads need.
std::int64_t PartsOfHeads(const Shape& s, std::int64_t share) {
  const std::int64_t keys = s.batch * s.kv_heads, threads = at::get_num_threads();
  if (at::in_parallel_region() || threads == 1) return 1;
  return std::clamp(Ceiling(share * threads, keys), std::int64_t{1}, s.times());
}

// Calls body(heads) for all heads, on LibTorch's threads where there is enough to do.
template <typename Body>
void ForHeads(const Shape& s, std::int64_t parts, const Body& body) {
  constexpr std::int64_t kGrain = std::int64_t{1} << 20;
  const std::int64_t work = s.tokens * s.tokens * (s.size + s.value_size) * s.times() / parts;
  at::parallel_for(0, s.batch * s.kv_heads * parts, kGrain / (work + 1) + 1,
                   [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t i = begin; i < end; ++i) {
                       const std::int64_t key = i / parts, part = i % parts;
                       const std::int64_t kv = key % s.kv_heads, first = kv * s.times();
                       body(Heads{key / s.kv_heads, kv, first + s.times() * part / parts,
                                  first + s.times() * (part + 1) / parts});
                     }
                   });
}

// Calls body(block) for the rows of a head.
template <typename Body>
void ForBlocks(const Shape& s, std::int64_t rows, const Body& body) {
  for (std::int64_t first = 0; first < s.tokens; first += rows) {
    body(Block{first, std::min(rows, s.tokens - first)});
  }
}

// The gradient of a key or value head [tokens, size]: the sum of what each head that it serves
// gives, in their order, so that it does not depend on who computes which.
class SharedGradient {
 public:
  // `apart` where more than one part gives to a key.
  SharedGradient(const Shape& shape, const at::Tensor& to, bool apart) : shape_(shape), to_(to) {
    if (apart) {
      each_ = at::empty({shape.batch, shape.heads, shape.tokens, to.size(3)}, to.options());
    }
  }

  // From any thread.
  void Give(std::int64_t batch, std::int64_t head, const Rows& sums) const {
    if (each_.defined()) {
      const Rows kept = HeadOf(each_, batch, head);
      CopyRows(sums, shape_.tokens, to_.size(3), kept.at, kept.stride);
    } else {
      Add(batch, head, sums);
    }
  }

  // When all have given.
  void Finish() const {
    if (!each_.defined()) return;
    at::parallel_for(
        0, shape_.batch * shape_.kv_heads, 1, [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t i = begin * shape_.times(); i < end * shape_.times(); ++i) {
            const std::int64_t batch = i / shape_.heads, head = i % shape_.heads;
            Add(batch, head, HeadOf(each_, batch, head));
          }
        });
  }

 private:
  void Add(std::int64_t batch, std::int64_t head, const Rows& sums) const {
    const Rows to = HeadOf(to_, batch, head / shape_.times());
    if (head % shape_.times() == 0) {
      CopyRows(sums, shape_.tokens, to_.size(3), to.at, to.stride);
      return;
    }
    for (std::int64_t i = 0; i < shape_.tokens; ++i) {
      std::transform(to[i], to[i] + to_.size(3), sums[i], to[i], std::plus<>());
    }
  }

  const Shape& shape_;
  const at::Tensor& to_;
  at::Tensor each_;
};

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
    dp::clipping::RefuseSecondDerivative();
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
  ForHeads(s, PartsOfHeads(s, 4), [&](const Heads& heads) {
    Workspace memory(tiles);
    const Panels keys = memory.PanelsFor(s.size, s.tokens);
    const Panels values = memory.PanelsFor(s.tokens, s.value_size);
    const Rows scores = memory.Matrix(tiles.columns, s.tokens);
    const Rows sums = memory.Matrix(tiles.columns, s.value_size);
    Transpose(tiles, HeadOf(k, heads.batch, heads.kv), s.tokens, s.size, keys);
    Pack(tiles, HeadOf(v, heads.batch, heads.kv), s.tokens, s.value_size, values);
    for (std::int64_t head = heads.first; head < heads.end; ++head) {
      const Rows query = HeadOf(q, heads.batch, head), y = HeadOf(output.y, heads.batch, head);
      const Rows statistics = HeadOf(output.statistics, heads.batch, head);
      ForBlocks(s, tiles.columns, [&](const Block& block) {
        SeenProducts(tiles, query, block, keys, scores);
        kernels.scores.softmax(scores.at, scores.stride, block.count, block.first + 1, block.end(),
                               static_cast<float>(scale), statistics[block.first]);
        WeightedSums(tiles, scores, block, values, s.value_size, sums);
        CopyRows(sums, block.count, s.value_size, y[block.first], y.stride);
      });
    }
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
  const std::int64_t parts = PartsOfHeads(s, 1);
  const SharedGradient to_k(s, result.k, parts > 1), to_v(s, result.v, parts > 1);
  ForHeads(s, parts, [&](const Heads& heads) {
    Workspace memory(tiles);
    const Rows key_rows = HeadOf(k, heads.batch, heads.kv);
    const Rows value_rows = HeadOf(v, heads.batch, heads.kv);
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
    for (std::int64_t head = heads.first; head < heads.end; ++head) {
      const Rows query = HeadOf(q, heads.batch, head), of = HeadOf(g, heads.batch, head);
      const Rows y = HeadOf(output.y, heads.batch, head), to = HeadOf(result.q, heads.batch, head);
      const Rows statistics = HeadOf(output.statistics, heads.batch, head);
      std::fill_n(key_sums.at, s.tokens * key_sums.stride, 0.0F);
      std::fill_n(value_sums.at, s.tokens * value_sums.stride, 0.0F);
      ForBlocks(s, tiles.columns, [&](const Block& block) {
        SeenProducts(tiles, query, block, keys_across, scores);
        SeenProducts(tiles, of, block, values_across, changes);
        kernels.scores.inner_products(of[block.first], of.stride, y[block.first], y.stride,
                                      block.count, s.value_size, inner.at);
        kernels.scores.softmax_backward(scores.at, changes.at, scores.stride, block.count,
                                        block.first + 1, block.end(), static_cast<float>(scale),
                                        statistics[block.first], inner.at);
        WeightedSums(tiles, changes, block, keys, s.size, sums);
        CopyRows(sums, block.count, s.size, to[block.first], to.stride);
        const Panels queries = all_queries.OfDepth(block.count);
        const Panels outer = all_outer.OfDepth(block.count);
        Pack(tiles, query.From(block.first), block.count, s.size, queries);
        Pack(tiles, of.From(block.first), block.count, s.value_size, outer);
        AddTransposed(tiles, changes, block, queries, s.size, turned.at, key_sums);
        AddTransposed(tiles, scores, block, outer, s.value_size, turned.at, value_sums);
      });
      to_k.Give(heads.batch, head, key_sums);
      to_v.Give(heads.batch, head, value_sums);
    }
  });
  to_k.Finish();
  to_v.Finish();
  return result;
}

bool TakesTiledAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const auto takes = [](const at::Tensor& x) {
    return x.is_cpu() && x.scalar_type() == at::kFloat && x.numel() > 0 && x.stride(-1) == 1;
  };
  return dp::clipping::HasFastTiles() && takes(q) && takes(k) && takes(v) && q.size(2) == k.size(2);
}

at::Tensor TiledAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                          double scale) {
  return TiledAttentionFunction::apply(q, k, v, scale);
}

}  // namespace cloister::trainer
