#include "trainer/networks/network.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <utility>

#include "base/check.h"
#include "trainer/networks/frozen_linear.h"

namespace cloister::trainer {
namespace {

// What the adapter adds to `y`, the output of one target for input `x`; `y` itself where none sits.
at::Tensor Adapted(const at::Tensor& y, const at::Tensor& x, const NetworkAdapter* adapter,
                   std::int64_t layer, Target target) {
  if (adapter == nullptr) return y;
  const auto& path = adapter->layers[layer][static_cast<std::size_t>(target)];
  if (!path) return y;
  return y + dp::clipping::LoraPath(x, path->a, path->b, adapter->scale, adapter->observer,
                                    path->index);
}

}  // namespace

Network::Network(const model::Architecture& architecture, NetworkWeights weights)
    : architecture_(architecture),
      weights_(std::move(weights)),
      rotary_(
          MakeRotaryTable(architecture.rope, architecture.head_dim, architecture.max_positions)) {}

at::Tensor Network::Attention(std::int64_t index, const at::Tensor& x,
                              const NetworkAdapter* adapter) const {
  const model::Architecture& a = architecture_;
  const LayerWeights& w = weights_.layers[index];
  const std::int64_t batch = x.size(0), tokens = x.size(1);
  const std::vector<at::Tensor> projected =
      Linear(x, w.qkv).split_with_sizes({a.query_size(), a.kv_size(), a.kv_size()}, -1);
  const auto heads = [&](std::size_t which, Target target, std::int64_t count) {
    return Adapted(projected[which], x, adapter, index, target)
        .view({batch, tokens, count, a.head_dim});
  };
  const at::Tensor q = Rotate(heads(0, Target::kQ, a.num_heads), rotary_).transpose(1, 2);
  const at::Tensor k = Rotate(heads(1, Target::kK, a.num_kv_heads), rotary_).transpose(1, 2);
  const at::Tensor v = heads(2, Target::kV, a.num_kv_heads).transpose(1, 2);
  const at::Tensor mixed =
      CausalAttention(q, k, v).transpose(1, 2).reshape({batch, tokens, a.query_size()});
  return Adapted(Linear(mixed, w.output), mixed, adapter, index, Target::kO);
}

at::Tensor Network::Mlp(std::int64_t index, const at::Tensor& x,
                        const NetworkAdapter* adapter) const {
  const LayerWeights& w = weights_.layers[index];
  at::Tensor gate_up = Linear(x, w.gate_up);
  if (adapter != nullptr && (adapter->layers[index][static_cast<std::size_t>(Target::kGate)] ||
                             adapter->layers[index][static_cast<std::size_t>(Target::kUp)])) {
    const std::vector<at::Tensor> halves = gate_up.chunk(2, -1);
    gate_up = at::cat({Adapted(halves[0], x, adapter, index, Target::kGate),
                       Adapted(halves[1], x, adapter, index, Target::kUp)},
                      -1);
  }
  const at::Tensor active = SwiGlu(gate_up);
  return Adapted(Linear(active, w.down), active, adapter, index, Target::kDown);
}

at::Tensor Network::Layer(std::int64_t index, const at::Tensor& x,
                          const NetworkAdapter* adapter) const {
  const LayerWeights& w = weights_.layers[index];
  const double epsilon = architecture_.rms_norm_eps;
  const at::Tensor y = x + Attention(index, RmsNorm(x, w.input_norm, epsilon), adapter);
  return y + Mlp(index, RmsNorm(y, w.post_norm, epsilon), adapter);
}

at::Tensor Network::Hidden(const at::Tensor& ids, const NetworkAdapter* adapter) const {
  CLOISTER_CHECK(ids.dim() == 2 && ids.size(1) <= architecture_.max_positions);
  const std::int64_t frozen = adapter == nullptr ? 0 : adapter->first_layer;
  at::Tensor x;
  {
    const at::AutoGradMode mode(at::GradMode::is_enabled() && adapter == nullptr);
    x = at::embedding(weights_.embedding, ids);
    for (std::int64_t layer = 0; layer < frozen; ++layer) x = Layer(layer, x, adapter);
  }
  for (std::int64_t layer = frozen; layer < architecture_.num_layers; ++layer) {
    x = Layer(layer, x, adapter);
  }
  return x;
}

at::Tensor Network::Normalize(const at::Tensor& hidden) const {
  return RmsNorm(hidden, weights_.final_norm, architecture_.rms_norm_eps);
}

at::Tensor Network::Logits(const at::Tensor& hidden) const {
  return Linear(Normalize(hidden), weights_.head);
}

}  // namespace cloister::trainer
