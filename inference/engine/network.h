#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "inference/engine/expert_mixture.h"
#include "inference/engine/grouped_attention.h"
#include "inference/engine/kv_cache.h"
#include "inference/engine/latent_attention.h"
#include "inference/engine/mlp.h"
#include "inference/engine/pass.h"
#include "inference/engine/weights.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/linear.h"
#include "model/architecture.h"
#include "model/tokenizer.h"

namespace cloister::inference {

// The forward pass of an Architecture. A token's numbers are the same bits whether it is computed
// alone or in a batch, but where rope is dynamic and the sequence longer than its context: there
// they depend on the lengths at which tokens were read, as in transformers. Holds the scratch
// memory of one pass: not thread-safe.
class Network {
 public:
  // `max_batch`: the most tokens that Run will be given at once.
  Network(const model::Architecture& architecture, Weights weights,
          const kernels::cpu::Kernels& kernels, int threads, std::int64_t context,
          std::int64_t max_batch);
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  // Runs `ids` at the positions after those that `cache` holds, and adds them to it. Ids lie in the
  // vocabulary and fit the cache and the batch. `length` is the sequence's when all tokens that
  // were given together are read, this batch or later: what a dynamic rope turns them by.
  void Run(std::span<const model::TokenId> ids, std::int64_t length, KvCache& cache);

  // The logits of `count` of the last Run's tokens from `first` on, into [count, vocab].
  void Logits(std::int64_t first, std::int64_t count, float* logits);

 private:
  void Embed(std::span<const model::TokenId> ids);
  void Normalize(std::span<const float> weight, std::int64_t first, std::int64_t count);
  void AddToHidden();

  model::Architecture architecture_;
  Weights weights_;
  Pass pass_;
  std::optional<GroupedAttention> grouped_attention_;
  std::optional<LatentAttention> latent_attention_;
  Mlp mlp_;
  std::optional<ExpertMixture> experts_;
  std::int64_t tokens_ = 0;  // of the last Run

  std::vector<float> hidden_;           // [tokens, hidden]
  kernels::cpu::Activations normed_;    // [tokens, hidden]
  kernels::cpu::Activations attended_;  // [tokens, what the heads read]
  std::vector<float> projected_;        // [tokens, hidden]
};

}  // namespace cloister::inference
