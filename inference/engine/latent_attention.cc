#include "inference/engine/latent_attention.h"

#include <algorithm>

namespace cloister::inference {
namespace cpu = kernels::cpu;

LatentAttention::LatentAttention(Pass& pass, std::int64_t max_batch)
    : pass_(pass),
      latent_(*pass.architecture().latent),
      row_size_(latent_.kv_rank + latent_.rope_dim),
      query_(static_cast<std::size_t>(max_batch * pass.architecture().query_size())),
      kv_(static_cast<std::size_t>(max_batch * row_size_)),
      absorbed_(static_cast<std::size_t>(max_batch * pass.architecture().num_heads * row_size_)) {}

void LatentAttention::Run(const LatentAttentionWeights& weights, std::int64_t layer,
                          cpu::Activations& input, KvCache& cache, cpu::Activations& attended) {
  const std::int64_t tokens = input.tokens();
  ProjectQueries(weights, input);
  StoreLatents(weights, layer, input, cache);
  Absorb(weights, tokens);
  Attend(layer, tokens, cache);
  ProjectValues(weights, tokens, attended);
}

void LatentAttention::ProjectQueries(const LatentAttentionWeights& weights,
                                     cpu::Activations& input) {
  if (latent_.query_rank == 0) {
    pass_.Linear(input, weights.query_up, query_.data());
    return;
  }
  query_latent_.Resize(input.tokens(), latent_.query_rank);
  pass_.Linear(input, weights.query_down, query_latent_.row(0));
  const auto epsilon = static_cast<float>(latent_.norm_eps);
  pass_.ForRows(input.tokens(), [&](std::int64_t t) {
    float* row = query_latent_.row(t);
    pass_.kernels().rms_norm(row, weights.query_norm.data(), epsilon, latent_.query_rank, row);
  });
  pass_.Linear(query_latent_, weights.query_up, query_.data());
}

void LatentAttention::StoreLatents(const LatentAttentionWeights& weights, std::int64_t layer,
                                   cpu::Activations& input, KvCache& cache) {
  pass_.Linear(input, weights.kv_down, kv_.data());
  const auto epsilon = static_cast<float>(latent_.norm_eps);
  pass_.ForRows(input.tokens(), [&](std::int64_t t) {
    const float* from = kv_.data() + t * row_size_;
    float* to = cache.Latents(layer) + (cache.size() + t) * row_size_;
    pass_.kernels().rms_norm(from, weights.kv_norm.data(), epsilon, latent_.kv_rank, to);
    std::copy_n(from + latent_.kv_rank, latent_.rope_dim, to + latent_.kv_rank);
    pass_.rotation().Rotate(to + latent_.kv_rank, t);
  });
}

void LatentAttention::MultiplyHead(const model::TensorView& stack, std::int64_t head,
                                   std::int64_t tokens, const float* input,
                                   std::int64_t input_stride, float* output,
                                   std::int64_t output_stride) const {
  const model::TensorView matrix = model::Slice(stack, head);
  cpu::MatmulArguments product;
  product.weights = matrix.data.data();
  product.row_bytes = matrix.row_bytes();
  product.rows = matrix.rows();
  product.columns = matrix.row_elements();
  product.tokens = tokens;
  product.input = input;
  product.input_stride = input_stride;
  product.output = output;
  product.output_stride = output_stride;
  pass_.kernels().matmul_for(matrix.type)(product);
}

// Queries in the latents' terms, scaled here, once.
void LatentAttention::Absorb(const LatentAttentionWeights& weights, std::int64_t tokens) {
  const model::Architecture& a = pass_.architecture();
  const auto scale = static_cast<float>(a.score_scale());
  pass_.ForRows(tokens, [&](std::int64_t t) {
    float* query = query_.data() + t * a.query_size();
    for (std::int64_t i = 0; i < a.query_size(); ++i) query[i] *= scale;
    for (std::int64_t head = 0; head < a.num_heads; ++head) {
      float* rotary = absorbed(t, head) + latent_.kv_rank;
      std::copy_n(query + head * a.head_dim + latent_.nope_dim, latent_.rope_dim, rotary);
      pass_.rotation().Rotate(rotary, t);
    }
  });
  pass_.pool().Run(a.num_heads, 1, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t head = begin; head < end; ++head) {
      MultiplyHead(weights.key_up, head, tokens, query_.data() + head * a.head_dim, a.query_size(),
                   absorbed(0, head), a.num_heads * row_size_);
    }
  });
}

// One piece of work is a token and a few heads: heads share what they read.
void LatentAttention::Attend(std::int64_t layer, std::int64_t tokens, KvCache& cache) {
  const std::int64_t heads = pass_.architecture().num_heads;
  const std::int64_t blocks = (heads + kTokenGrain - 1) / kTokenGrain;
  const std::int64_t items = tokens * blocks;
  // Little work is not worth waking the other threads.
  const bool little = tokens == 1 && cache.size() * heads * row_size_ < 16384;
  pass_.pool().Run(items, little ? items : 1,
                   [&](int thread, std::int64_t begin, std::int64_t end) {
                     for (std::int64_t i = begin; i < end; ++i) {
                       const std::int64_t first = i % blocks * kTokenGrain;
                       AttendHeads(thread, layer, i / blocks, first,
                                   std::min(kTokenGrain, heads - first), cache);
                     }
                   });
}

void LatentAttention::AttendHeads(int thread, std::int64_t layer, std::int64_t token,
                                  std::int64_t first_head, std::int64_t count, KvCache& cache) {
  const cpu::Kernels& kernels = pass_.kernels();
  const std::int64_t positions = cache.size() + token + 1;
  float* scores = pass_.scores(thread);
  cpu::MatmulArguments products;
  products.weights = reinterpret_cast<const std::byte*>(cache.Latents(layer));
  products.row_bytes = row_size_ * static_cast<std::int64_t>(sizeof(float));
  products.rows = positions;
  products.columns = row_size_;
  products.tokens = count;
  products.input = absorbed(token, first_head);
  products.input_stride = row_size_;
  products.output = scores;
  products.output_stride = pass_.score_stride();
  kernels.matmul_for(model::DataType::kF32)(products);
  for (std::int64_t head = 0; head < count; ++head) {
    kernels.softmax(scores + head * pass_.score_stride(), positions);
  }
  cpu::Kernels::WeightedSumArguments sum;
  sum.weights = scores;
  sum.weight_stride = pass_.score_stride();
  sum.queries = count;
  sum.values = cache.Latents(layer);
  sum.value_stride = row_size_;
  sum.positions = positions;
  sum.dimension = latent_.kv_rank;
  sum.output = absorbed(token, first_head);
  sum.output_stride = row_size_;
  kernels.weighted_sum(sum);
}

void LatentAttention::ProjectValues(const LatentAttentionWeights& weights, std::int64_t tokens,
                                    cpu::Activations& attended) {
  const std::int64_t heads = pass_.architecture().num_heads;
  const std::int64_t columns = heads * latent_.value_dim;
  attended.Resize(tokens, columns);
  pass_.pool().Run(heads, 1, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t head = begin; head < end; ++head) {
      MultiplyHead(weights.value_up, head, tokens, absorbed(0, head), heads * row_size_,
                   attended.row(0) + head * latent_.value_dim, columns);
    }
  });
}

}  // namespace cloister::inference
