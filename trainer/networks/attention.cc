#include "trainer/networks/attention.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "trainer/networks/frozen_linear.h"
#include "trainer/networks/operators.h"
#include "trainer/networks/tiled_attention.h"

namespace cloister::trainer {
namespace {

at::Tensor RepeatHeads(const at::Tensor& x, std::int64_t times) {
  if (times == 1) return x;
  const at::IntArrayRef s = x.sizes();
  return x.unsqueeze(2)
      .expand({s[0], s[1], times, s[2], s[3]})
      .reshape({s[0], s[1] * times, s[2], s[3]});
}

// bool [tokens, tokens], or undefined where no layer's window hides anything.
at::Tensor WindowOf(const model::Architecture& a, std::int64_t tokens) {
  if (a.sliding_layers.empty() || tokens <= a.sliding_window) return {};
  return at::ones({tokens, tokens}, at::kBool).tril_().triu_(1 - a.sliding_window);
}

at::Tensor Attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale,
                  const at::Tensor& window) {
  if (!window.defined() && TakesTiledAttention(q, k, v)) return TiledAttention(q, k, v, scale);
  const std::int64_t times = q.size(1) / k.size(1);
  const std::optional<at::Tensor> mask =
      window.defined() ? std::optional<at::Tensor>(window) : std::nullopt;
  return at::scaled_dot_product_attention(q, RepeatHeads(k, times), RepeatHeads(v, times), mask,
                                          /*dropout_p=*/0.0,
                                          /*is_causal=*/!window.defined() && q.size(2) > 1, scale);
}

}  // namespace

void KeyValues::Append(at::Tensor& more_k, at::Tensor& more_v) {
  k = k.defined() ? at::cat({k, more_k}, 2) : more_k;
  v = v.defined() ? at::cat({v, more_v}, 2) : more_v;
  more_k = k;
  more_v = v;
}

Positions Positions::On(const at::Device& device) const {
  return {{rotary.cosine.to(device), rotary.sine.to(device), rotary.layout},
          window.defined() ? window.to(device) : window,
          segments};
}

Positions MakePositions(const model::Architecture& a, std::int64_t tokens,
                        std::span<const std::int64_t> lengths) {
  return {MakeRotaryTable(a.rope, a.rotary_dim(), tokens, lengths), WindowOf(a, tokens), {}};
}

Positions MakePackedPositions(const model::Architecture& a, std::span<const std::int64_t> segments,
                              std::span<const std::int64_t> lengths) {
  std::vector<at::Tensor> cosines, sines;
  Positions positions;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const RotaryTable own =
        MakeRotaryTable(a.rope, a.rotary_dim(), segments[i], lengths.subspan(i, 1));
    cosines.push_back(own.cosine);
    sines.push_back(own.sine);
    positions.rotary.layout = own.layout;
  }
  positions.rotary.cosine = at::cat(cosines, 1);
  positions.rotary.sine = at::cat(sines, 1);
  positions.window = WindowOf(a, *std::max_element(segments.begin(), segments.end()));
  positions.segments.assign(segments.begin(), segments.end());
  return positions;
}

at::Tensor CausalAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           double scale, const at::Tensor& window,
                           std::span<const std::int64_t> segments) {
  if (segments.empty()) return Attend(q, k, v, scale, window);
  std::vector<at::Tensor> attended;
  std::int64_t first = 0;
  for (const std::int64_t size : segments) {
    const auto own = [&](const at::Tensor& x) { return x.narrow(2, first, size); };
    attended.push_back(
        Attend(own(q), own(k), own(v), scale,
               window.defined() ? window.narrow(0, 0, size).narrow(1, 0, size) : window));
    first += size;
  }
  return at::cat(attended, 2);
}

at::Tensor GroupedAttention(const model::Architecture& a, const GroupedAttentionWeights& w,
                            const at::Tensor& x, const RotaryTable& rotary,
                            const at::Tensor& window, const LayerAdapter& adapter,
                            std::span<const std::int64_t> segments, KeyValues* past) {
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
  return CausalAttention(q, k, v, a.score_scale(), window, segments)
      .transpose(1, 2)
      .reshape({batch, tokens, a.query_size()});
}

}  // namespace cloister::trainer
