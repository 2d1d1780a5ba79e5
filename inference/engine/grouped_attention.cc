#include "inference/engine/grouped_attention.h"

#include <algorithm>
#include <array>

namespace cloister::inference {
namespace cpu = kernels::cpu;

GroupedAttention::GroupedAttention(Pass& pass, std::int64_t max_batch)
    : pass_(pass),
      query_(static_cast<std::size_t>(max_batch * pass.architecture().query_size())),
      key_(static_cast<std::size_t>(max_batch * pass.architecture().kv_size())),
      value_(key_.size()) {}

void GroupedAttention::Run(const GroupedAttentionWeights& weights, std::int64_t layer,
                           cpu::Activations& input, KvCache& cache, cpu::Activations& attended) {
  const std::array<Pass::Output, 3> outputs = {{{&weights.query, query_.data()},
                                                {&weights.key, key_.data()},
                                                {&weights.value, value_.data()}}};
  pass_.Linear(input, outputs);
  StoreKeysAndValues(weights, layer, input.tokens(), cache);
  attended.Resize(input.tokens(), pass_.architecture().query_size());
  Attend(layer, input.tokens(), cache, attended);
}

// Norms and rotates queries (scaled here, once) and keys, and fills the cache.
void GroupedAttention::StoreKeysAndValues(const GroupedAttentionWeights& weights,
                                          std::int64_t layer, std::int64_t tokens, KvCache& cache) {
  const model::Architecture& a = pass_.architecture();
  const std::int64_t head_dim = a.head_dim;
  const auto scale = static_cast<float>(a.score_scale());
  const auto epsilon = static_cast<float>(a.rms_norm_eps);
  const auto norm = [&](float* head, const std::vector<float>& weight) {
    if (weight.empty()) return;
    pass_.kernels().rms_norm(head, weight.data(), epsilon, head_dim, head);
  };
  pass_.ForRows(tokens, [&](std::int64_t t) {
    float* query = query_.data() + t * a.query_size();
    for (std::int64_t h = 0; h < a.num_heads; ++h) {
      norm(query + h * head_dim, weights.query_norm);
      pass_.rotation().Rotate(query + h * head_dim, t);
    }
    for (std::int64_t i = 0; i < a.query_size(); ++i) query[i] *= scale;
    for (std::int64_t h = 0; h < a.num_kv_heads; ++h) {
      float* key = key_.data() + t * a.kv_size() + h * head_dim;
      const float* value = value_.data() + t * a.kv_size() + h * head_dim;
      const std::int64_t to = (cache.size() + t) * head_dim;
      norm(key, weights.key_norm);
      pass_.rotation().Rotate(key, t);
      std::copy_n(key, head_dim, cache.Keys(layer, h) + to);
      std::copy_n(value, head_dim, cache.Values(layer, h) + to);
    }
  });
}

// One piece of work is a query head and a few tokens.
void GroupedAttention::Attend(std::int64_t layer, std::int64_t tokens, KvCache& cache,
                              cpu::Activations& attended) {
  const model::Architecture& a = pass_.architecture();
  const std::int64_t blocks = (tokens + kTokenGrain - 1) / kTokenGrain;
  const std::int64_t items = blocks * a.num_heads;
  // Little work is not worth waking the other threads.
  const bool little = tokens == 1 && cache.size() * a.query_size() < 16384;
  pass_.pool().Run(items, little ? items : 1,
                   [&](int thread, std::int64_t begin, std::int64_t end) {
                     for (std::int64_t i = begin; i < end; ++i) {
                       const std::int64_t first = i / a.num_heads * kTokenGrain;
                       AttendBlock(thread, layer, i % a.num_heads, first,
                                   std::min(kTokenGrain, tokens - first), cache, attended);
                     }
                   });
}

// Softmax(Q K^T) V of `count` tokens. Each reads the positions of its window up to its own; the
// scores of the others' are set to zero weight.
void GroupedAttention::AttendBlock(int thread, std::int64_t layer, std::int64_t head,
                                   std::int64_t first, std::int64_t count, KvCache& cache,
                                   cpu::Activations& attended) {
  const model::Architecture& a = pass_.architecture();
  const cpu::Kernels& kernels = pass_.kernels();
  const std::int64_t head_dim = a.head_dim;
  const std::int64_t kv_head = head / (a.num_heads / a.num_kv_heads);
  const std::int64_t window = a.window_of(layer);
  const auto start_of = [&](std::int64_t token) {  // of the token's window
    return window == 0 ? 0 : std::max<std::int64_t>(0, cache.size() + token + 1 - window);
  };
  const std::int64_t start = start_of(first);
  const std::int64_t positions = cache.size() + first + count - start;
  float* scores = pass_.scores(thread);
  cpu::MatmulArguments products;
  products.weights =
      reinterpret_cast<const std::byte*>(cache.Keys(layer, kv_head) + start * head_dim);
  products.row_bytes = head_dim * static_cast<std::int64_t>(sizeof(float));
  products.rows = positions;
  products.columns = head_dim;
  products.tokens = count;
  products.input = query_.data() + first * a.query_size() + head * head_dim;
  products.input_stride = a.query_size();
  products.output = scores;
  products.output_stride = pass_.score_stride();
  kernels.matmul_for(model::DataType::kF32)(products);
  for (std::int64_t t = 0; t < count; ++t) {
    float* row = scores + t * pass_.score_stride();
    const std::int64_t from = start_of(first + t) - start;
    const std::int64_t own = cache.size() + first + t + 1 - start;
    kernels.softmax(row + from, own - from);
    std::fill(row, row + from, 0.0f);
    std::fill(row + own, row + positions, 0.0f);
  }
  cpu::Kernels::WeightedSumArguments sum;
  sum.weights = scores;
  sum.weight_stride = pass_.score_stride();
  sum.queries = count;
  sum.values = cache.Values(layer, kv_head) + start * head_dim;
  sum.value_stride = head_dim;
  sum.positions = positions;
  sum.dimension = head_dim;
  sum.output = attended.row(first) + head * head_dim;
  sum.output_stride = a.query_size();
  kernels.weighted_sum(sum);
}

}  // namespace cloister::inference
