#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "inference/engine/kv_cache.h"
#include "inference/engine/weights.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/thread_pool.h"
#include "model/architecture.h"
#include "model/tokenizer.h"

namespace cloister::inference {

// The forward pass of an Architecture: pre-norm RMSNorm, grouped-query attention with rotary
// embeddings, SwiGLU. A token's numbers are the same bits whether it is computed alone or in a
// batch. Holds the scratch memory of one pass: not thread-safe.
class Network {
 public:
  // `max_batch`: the most tokens that Run will be given at once.
  Network(const model::Architecture& architecture, Weights weights,
          const kernels::cpu::Kernels& kernels, int threads, std::int64_t context,
          std::int64_t max_batch);

  // Runs `ids` at the positions after those that `cache` holds, and adds them to it. Ids lie in the
  // vocabulary and fit the cache and the batch.
  void Run(std::span<const model::TokenId> ids, KvCache& cache);

  // The logits of `count` of the last Run's tokens from `first` on, into [count, vocab].
  void Logits(std::int64_t first, std::int64_t count, float* logits);

 private:
  void Embed(std::span<const model::TokenId> ids);
  void PrepareRotation(std::int64_t position, std::int64_t count);
  void Normalize(std::span<const float> weight, std::int64_t first, std::int64_t count,
                 bool quantize);
  void Attention(const LayerWeights& layer, std::int64_t index, KvCache& cache);
  void StoreKeysAndValues(std::int64_t layer, KvCache& cache);
  void AttendHeads(std::int64_t layer, KvCache& cache);
  void Mlp(const LayerWeights& layer);
  void AddToHidden();

  model::Architecture architecture_;
  Weights weights_;
  const kernels::cpu::Kernels& kernels_;
  kernels::cpu::ThreadPool pool_;
  std::vector<double> frequencies_;  // [head_dim / 2]
  std::int64_t tokens_ = 0;          // of the last Run

  std::vector<float> hidden_;           // [tokens, hidden]
  kernels::cpu::Activations normed_;    // [tokens, hidden]
  std::vector<float> query_;            // [tokens, heads * head_dim]
  std::vector<float> key_;              // [tokens, kv_heads * head_dim]
  std::vector<float> value_;            // [tokens, kv_heads * head_dim]
  kernels::cpu::Activations attended_;  // [tokens, heads * head_dim]
  std::vector<float> gate_;             // [tokens, intermediate]
  std::vector<float> up_;               // [tokens, intermediate]
  kernels::cpu::Activations gated_;     // [tokens, intermediate]
  std::vector<float> projected_;        // [tokens, hidden]
  std::vector<float> cosines_, sines_;  // [tokens, head_dim / 2]
  std::int64_t score_stride_ = 0;
  std::vector<std::unique_ptr<float[]>> scores_;  // a thread: [query block, context]
};

}  // namespace cloister::inference
