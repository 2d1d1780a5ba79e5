#pragma once

#include <cstdint>
#include <vector>

#include "inference/engine/pass.h"

namespace cloister::inference {

// Multi-head latent attention in its absorbed form (DeepSeek-V2, arXiv 2405.04434 §2.1.2): a query
// goes through the transposed key up-projection, so that scores are products with cached latents,
// and the weighted sum of latents goes through the value up-projection. The cache holds kv_rank +
// rope_dim numbers a token and nothing a head. Holds the scratch memory of a pass: not thread-safe.
class LatentAttention {
 public:
  LatentAttention(Pass& pass, std::int64_t max_batch);

  // As GroupedAttention::Run; `attended` is [tokens, heads * value_dim].
  void Run(const LatentAttentionWeights& weights, std::int64_t layer,
           kernels::cpu::Activations& input, KvCache& cache, kernels::cpu::Activations& attended);

 private:
  void ProjectQueries(const LatentAttentionWeights& weights, kernels::cpu::Activations& input);
  void StoreLatents(const LatentAttentionWeights& weights, std::int64_t layer,
                    kernels::cpu::Activations& input, KvCache& cache);
  void AbsorbQueries(const LatentAttentionWeights& weights, std::int64_t tokens);
  void Attend(std::int64_t layer, std::int64_t tokens, KvCache& cache);
  void AttendHeads(int thread, std::int64_t layer, std::int64_t token, std::int64_t tokens,
                   std::int64_t first_head, std::int64_t count, KvCache& cache);
  void ProjectValues(const LatentAttentionWeights& weights, std::int64_t tokens,
                     kernels::cpu::Activations& attended);
  // Each head's rows of `input`, [heads, tokens], through its own matrix: output[head * head_stride
  // + token * token_stride].
  void MultiplyHeads(const std::vector<model::TensorView>& matrices, std::int64_t tokens,
                     kernels::cpu::Activations& input, float* output, std::int64_t head_stride,
                     std::int64_t token_stride);

  Pass& pass_;
  model::LatentAttention latent_;
  std::int64_t row_size_;                   // kv_rank + rope_dim
  kernels::cpu::Activations query_latent_;  // [tokens, query_rank]
  std::vector<float> query_;                // [tokens, heads * head_dim]
  std::vector<float> kv_;                   // [tokens, kv_rank + rope_dim]
  kernels::cpu::Activations nope_;          // [heads, tokens, nope_dim]: of the queries
  std::vector<float> absorbed_;             // [tokens, heads, kv_rank + rope_dim]
  kernels::cpu::Activations read_;          // [heads, tokens, kv_rank]: what the heads read
};

}  // namespace cloister::inference
