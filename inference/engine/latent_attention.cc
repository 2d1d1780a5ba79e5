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
  AbsorbQueries(weights, tokens);
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

void LatentAttention::MultiplyHeads(const std::vector<model::TensorView>& matrices,
                                    std::int64_t tokens, cpu::Activations& input, float* output,
                                    std::int64_t head_stride, std::int64_t token_stride) {
  std::vector<cpu::Product> products;
  products.reserve(matrices.size());
  for (const model::TensorView& matrix : matrices) {
    const auto head = static_cast<std::int64_t>(products.size());
    products.push_back({&matrix, output + head * head_stride, token_stride, head * tokens, tokens});
  }
  cpu::Linear(pass_.kernels(), pass_.pool(), input, products);
}

// Queries in the latents' terms, scaled here, once.
void LatentAttention::AbsorbQueries(const LatentAttentionWeights& weights, std::int64_t tokens) {
  const model::Architecture& a = pass_.architecture();
  const auto scale = static_cast<float>(a.score_scale());
  nope_.Resize(a.num_heads * tokens, latent_.nope_dim);
  pass_.ForRows(tokens, [&](std::int64_t t) {
    float* query = query_.data() + t * a.query_size();
    for (std::int64_t i = 0; i < a.query_size(); ++i) query[i] *= scale;
    for (std::int64_t head = 0; head < a.num_heads; ++head, query += a.head_dim) {
      std::copy_n(query, latent_.nope_dim, nope_.row(head * tokens + t));
      float* rotary = absorbed_.data() + (t * a.num_heads + head) * row_size_ + latent_.kv_rank;
      std::copy_n(query + latent_.nope_dim, latent_.rope_dim, rotary);
      pass_.rotation().Rotate(rotary, t);
    }
  });
  MultiplyHeads(weights.key_up, tokens, nope_, absorbed_.data(), row_size_,
                a.num_heads * row_size_);
}

// One piece of work is a token and a few heads: heads share what they read.
void LatentAttention::Attend(std::int64_t layer, std::int64_t tokens, KvCache& cache) {
  const std::int64_t heads = pass_.architecture().num_heads;
  const std::int64_t blocks = (heads + kTokenGrain - 1) / kTokenGrain;
  const std::int64_t items = tokens * blocks;
  read_.Resize(heads * tokens, latent_.kv_rank);
  // Little work is not worth waking the other threads.
  const bool little = tokens == 1 && cache.size() * heads * row_size_ < 16384;
  pass_.pool().Run(items, little ? items : 1,
                   [&](int thread, std::int64_t begin, std::int64_t end) {
                     for (std::int64_t i = begin; i < end; ++i) {
                       const std::int64_t first = i % blocks * kTokenGrain;
                       AttendHeads(thread, layer, i / blocks, tokens, first,
                                   std::min(kTokenGrain, heads - first), cache);
                     }
                   });
}

// Softmax(Q C^T) C of one token and `count` heads, C being the cached rows up to the token's own.
void LatentAttention::AttendHeads(int thread, std::int64_t layer, std::int64_t token,
                                  std::int64_t tokens, std::int64_t first_head, std::int64_t count,
                                  KvCache& cache) {
  const cpu::Kernels& kernels = pass_.kernels();
  const std::int64_t positions = cache.size() + token + 1;
  float* scores = pass_.scores(thread);
  cpu::MatmulArguments products;
  products.weights = reinterpret_cast<const std::byte*>(cache.Latents(layer));
  products.row_bytes = row_size_ * static_cast<std::int64_t>(sizeof(float));
  products.rows = positions;
  products.columns = row_size_;
  products.tokens = count;
  products.input =
      absorbed_.data() + (token * pass_.architecture().num_heads + first_head) * row_size_;
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
  sum.output = read_.row(first_head * tokens + token);
  sum.output_stride = tokens * latent_.kv_rank;
  kernels.weighted_sum(sum);
}

void LatentAttention::ProjectValues(const LatentAttentionWeights& weights, std::int64_t tokens,
                                    cpu::Activations& attended) {
  const std::int64_t columns = pass_.architecture().attended_size();
  attended.Resize(tokens, columns);
  MultiplyHeads(weights.value_up, tokens, read_, attended.row(0), latent_.value_dim, columns);
}

}  // namespace cloister::inference
