#pragma once

#include <cstdint>
#include <vector>

#include "inference/engine/pass.h"

namespace cloister::inference {

// Grouped-query attention (Ainslie et al. 2023) over a cache of keys and values. Holds the scratch
// memory of a pass: not thread-safe.
class GroupedAttention {
 public:
  GroupedAttention(Pass& pass, std::int64_t max_batch);

  // `input`: the normed hidden states of tokens at cache.size() and after. Adds their keys and
  // values to layer `layer` of the cache, and puts what the heads read, [tokens, heads * head_dim],
  // into `attended`.
  void Run(const GroupedAttentionWeights& weights, std::int64_t layer,
           kernels::cpu::Activations& input, KvCache& cache, kernels::cpu::Activations& attended);

 private:
  void StoreKeysAndValues(const GroupedAttentionWeights& weights, std::int64_t layer,
                          std::int64_t tokens, KvCache& cache);
  void Attend(std::int64_t layer, std::int64_t tokens, KvCache& cache,
              kernels::cpu::Activations& attended);
  void AttendBlock(int thread, std::int64_t layer, std::int64_t head, std::int64_t first,
                   std::int64_t count, KvCache& cache, kernels::cpu::Activations& attended);

  Pass& pass_;
  std::vector<float> query_;  // [tokens, heads * head_dim]
  std::vector<float> key_;    // [tokens, kv_heads * head_dim]
  std::vector<float> value_;  // [tokens, kv_heads * head_dim]
};

}  // namespace cloister::inference
