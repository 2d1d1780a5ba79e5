#include "trainer/networks/latent_attention.h"

#include <ATen/ATen.h>

#include <vector>

#include "trainer/networks/attention.h"
#include "trainer/networks/frozen_linear.h"
#include "trainer/networks/operators.h"

namespace cloister::trainer {
namespace {

at::Tensor Adapted(const LinearWeights& linear, const at::Tensor& x, const LayerAdapter& adapter,
                   Target target) {
  return adapter.Add(adapter.weights().Linear(x, linear), x, target);
}

// [batch, tokens, query_size], not yet rotated.
at::Tensor Queries(const model::LatentAttention& latent, const LatentAttentionWeights& w,
                   const at::Tensor& x, const LayerAdapter& adapter) {
  if (latent.query_rank == 0) return Adapted(w.query, x, adapter, Target::kQ);
  const at::Tensor compressed = Adapted(w.query, x, adapter, Target::kQA);
  return Adapted(w.query_up, adapter.weights().RmsNorm(compressed, w.query_norm, latent.norm_eps),
                 adapter, Target::kQB);
}

}  // namespace

at::Tensor LatentAttention(const model::Architecture& a, const LatentAttentionWeights& w,
                           const at::Tensor& x, const RotaryTable& rotary,
                           const LayerAdapter& adapter, std::span<const std::int64_t> segments,
                           KeyValues* past) {
  const model::LatentAttention& latent = *a.latent;
  const std::int64_t batch = x.size(0), tokens = x.size(1), heads = a.num_heads;
  const at::Tensor q =
      Rotate(Queries(latent, w, x, adapter).view({batch, tokens, heads, a.head_dim}), rotary);

  const std::vector<at::Tensor> compressed =
      Adapted(w.kv_latent, x, adapter, Target::kKvA)
          .split_with_sizes({latent.kv_rank, latent.rope_dim}, -1);
  const at::Tensor rotated_key = Rotate(compressed[1].unsqueeze(2), rotary);  // of all heads
  const std::vector<at::Tensor> kv =
      Adapted(w.kv_up, adapter.weights().RmsNorm(compressed[0], w.kv_norm, latent.norm_eps),
              adapter, Target::kKvB)
          .view({batch, tokens, heads, latent.nope_dim + latent.value_dim})
          .split_with_sizes({latent.nope_dim, latent.value_dim}, -1);
  at::Tensor k = at::cat({kv[0], rotated_key.expand({batch, tokens, heads, latent.rope_dim})}, -1)
                     .transpose(1, 2);
  at::Tensor v = kv[1].transpose(1, 2);
  if (past != nullptr) past->Append(k, v);
  return CausalAttention(q.transpose(1, 2), k, v, a.score_scale(), /*window=*/{}, segments)
      .transpose(1, 2)
      .reshape({batch, tokens, a.attended_size()});
}

}  // namespace cloister::trainer
