#include "trainer/networks/attention.h"

#include <ATen/ATen.h>

#include <optional>
#include <vector>

#include "trainer/networks/frozen_linear.h"
#include "trainer/networks/operators.h"

namespace cloister::trainer {
namespace {

at::Tensor RepeatHeads(const at::Tensor& x, std::int64_t times) {
  if (times == 1) return x;
  const at::IntArrayRef s = x.sizes();
  return x.unsqueeze(2)
      .expand({s[0], s[1], times, s[2], s[3]})
      .reshape({s[0], s[1] * times, s[2], s[3]});
}

}  // namespace

Positions MakePositions(const model::Architecture& a, std::int64_t tokens,
                        std::span<const std::int64_t> lengths) {
  Positions positions{MakeRotaryTable(a.rope, a.rotary_dim(), tokens, lengths), {}};
  if (a.sliding_layers.empty() || tokens <= a.sliding_window) return positions;
  positions.window = at::ones({tokens, tokens}, at::kBool).tril_().triu_(1 - a.sliding_window);
  return positions;
}

void KeyValues::Append(at::Tensor& more_k, at::Tensor& more_v) {
  k = k.defined() ? at::cat({k, more_k}, 2) : more_k;
  v = v.defined() ? at::cat({v, more_v}, 2) : more_v;
  more_k = k;
  more_v = v;
}

at::Tensor CausalAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           double scale, const at::Tensor& window) {
  const std::int64_t times = q.size(1) / k.size(1);
  const std::optional<at::Tensor> mask =
      window.defined() ? std::optional<at::Tensor>(window) : std::nullopt;
  return at::scaled_dot_product_attention(q, RepeatHeads(k, times), RepeatHeads(v, times), mask,
                                          /*dropout_p=*/0.0,
                                          /*is_causal=*/!window.defined() && q.size(2) > 1, scale);
}

at::Tensor GroupedAttention(const model::Architecture& a, const GroupedAttentionWeights& w,
                            const at::Tensor& x, const RotaryTable& rotary,
                            const at::Tensor& window, const LayerAdapter& adapter,
                            KeyValues* past) {
  const std::int64_t batch = x.size(0), tokens = x.size(1);
  const std::vector<at::Tensor> projected = adapter.weights().Linear(x, w.qkv).split_with_sizes(
      {a.query_size(), a.kv_size(), a.kv_size()}, -1);
  const auto heads = [&](std::size_t which, Target target, std::int64_t count) {
    return adapter.Add(projected[which], x, target).view({batch, tokens, count, a.head_dim});
  };
  const auto placed = [&](const at::Tensor& y, const at::Tensor& norm) {
    const at::Tensor normalized =
        norm.defined() ? adapter.weights().RmsNorm(y, norm, a.rms_norm_eps) : y;
    return Rotate(normalized, rotary).transpose(1, 2);
  };
  const at::Tensor q = placed(heads(0, Target::kQ, a.num_heads), w.q_norm);
  at::Tensor k = placed(heads(1, Target::kK, a.num_kv_heads), w.k_norm);
  at::Tensor v = heads(2, Target::kV, a.num_kv_heads).transpose(1, 2);
  if (past != nullptr) past->Append(k, v);
  return CausalAttention(q, k, v, a.score_scale(), window)
      .transpose(1, 2)
      .reshape({batch, tokens, a.query_size()});
}

}  // namespace cloister::trainer
