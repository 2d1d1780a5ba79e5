#include "trainer/networks/network.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "base/check.h"
#include "trainer/networks/activation_checkpoint.h"
#include "trainer/networks/experts.h"
#include "trainer/networks/frozen_linear.h"
#include "trainer/networks/latent_attention.h"
#include "trainer/networks/mlp.h"
#include "trainer/networks/operators.h"

namespace cloister::trainer {
namespace {

WeightWatch WatchOf(const NetworkAdapter* adapter) {
  return adapter == nullptr ? WeightWatch() : adapter->weights;
}

}  // namespace

Network::Network(const model::Architecture& architecture, NetworkWeights weights,
                 const ComputeOptions& options)
    : architecture_(architecture), weights_(std::move(weights)), options_(options) {
  if (!options_.shard_parameters) RoundWeights();
}

void Network::RoundWeights() {
  if (options_.precision == Precision::kBf16) weights_.Round();
}

void Network::RoundLayer(std::int64_t layer, bool here) {
  if (options_.precision == Precision::kBf16) weights_.RoundLayer(layer, here);
}

void Network::SetGate(LayerGate& gate) {
  CLOISTER_CHECK(options_.activation_checkpointing);
  gate_ = &gate;
}

at::ScalarType Network::type() const {
  return options_.precision == Precision::kBf16 ? at::kBFloat16 : at::kFloat;
}

at::Tensor Network::Layer(std::int64_t index, const at::Tensor& x, const Positions& positions,
                          const LayerAdapter& adapter, KeyValues* past) const {
  if (gate_ != nullptr) gate_->Enter(index);
  const model::Architecture& a = architecture_;
  const LayerWeights& w = weights_.layers[static_cast<std::size_t>(index)];
  const WeightWatch weights = adapter.weights();
  const at::Tensor before = weights.RmsNorm(x, w.input_norm, a.rms_norm_eps, type());
  const at::Tensor window = a.window_of(index) > 0 ? positions.window : at::Tensor();
  const at::Tensor attended = w.latent
                                  ? LatentAttention(a, *w.latent, before, positions.rotary, adapter,
                                                    positions.segments, past)
                                  : GroupedAttention(a, *w.grouped, before, positions.rotary,
                                                     window, adapter, positions.segments, past);
  const at::Tensor y = x + adapter.Add(weights.Linear(attended, w.output), attended, Target::kO);
  const at::Tensor between = weights.RmsNorm(y, w.post_norm, a.rms_norm_eps, type());
  return y + (w.mixture ? Mixture(*a.experts, *w.mixture, between, adapter)
                        : Mlp(*w.dense, between, adapter));
}

std::vector<at::Tensor> Network::Leaves(std::int64_t index, const LayerAdapter& adapter) const {
  std::vector<at::Tensor> leaves = weights_.layers[static_cast<std::size_t>(index)].Parameters();
  for (const at::Tensor& one : adapter.Parameters()) leaves.push_back(one);
  std::erase_if(leaves, [](const at::Tensor& leaf) { return !leaf.requires_grad(); });
  return leaves;
}

at::Tensor Network::Hidden(const at::Tensor& ids, const NetworkAdapter* adapter,
                           std::span<const std::int64_t> lengths,
                           std::span<const std::int64_t> segments) const {
  CLOISTER_CHECK(ids.dim() == 2);
  const auto sequences =
      segments.empty() ? ids.size(0) : static_cast<std::int64_t>(segments.size());
  CLOISTER_CHECK(lengths.empty() || static_cast<std::int64_t>(lengths.size()) == sequences);
  CLOISTER_CHECK(segments.empty() || (ids.size(0) == 1 && !lengths.empty()));
  const std::vector<std::int64_t> whole = {ids.size(1)};
  const Positions positions =
      (segments.empty()
           ? MakePositions(architecture_, ids.size(1), lengths.empty() ? whole : lengths)
           : MakePackedPositions(architecture_, segments, lengths))
          .On(device());
  const std::int64_t frozen = adapter == nullptr ? 0 : adapter->first_layer;
  at::Tensor x;
  {
    const bool whole = adapter == nullptr || adapter->weights;
    const at::AutoGradMode mode(at::GradMode::is_enabled() && whole);
    x = weights_.embedding_blocks
            ? weights_.embedding_blocks->Lookup(ids.cpu(), type()).to(device())
            : WatchOf(adapter).Embed(ids.to(device()), weights_.embedding);
    x = x.to(at::kFloat);
    for (std::int64_t layer = 0; layer < frozen; ++layer) x = Layer(layer, x, positions, {});
  }
  // Layers that are computed again in the backward pass read the adapter then.
  std::shared_ptr<const NetworkAdapter> kept;
  if (options_.activation_checkpointing && adapter != nullptr) {
    kept = std::make_shared<const NetworkAdapter>(*adapter);
  }
  for (std::int64_t layer = frozen; layer < architecture_.num_layers; ++layer) {
    const LayerAdapter on_layer(kept ? kept.get() : adapter, layer);
    if (options_.activation_checkpointing) {
      x = Checkpoint([=, this, kept = kept](
                         const at::Tensor& in) { return Layer(layer, in, positions, on_layer); },
                     x, Leaves(layer, on_layer));
    } else {
      x = Layer(layer, x, positions, on_layer);
    }
  }
  return x;
}

at::Tensor Network::Extend(const at::Tensor& ids, const NetworkAdapter* adapter,
                           std::span<KeyValues> past) const {
  CLOISTER_CHECK(ids.dim() == 2 && ids.size(0) == 1);
  CLOISTER_CHECK(static_cast<std::int64_t>(past.size()) == architecture_.num_layers);
  const at::NoGradGuard no_grad;
  const std::int64_t before = past[0].k.defined() ? past[0].k.size(2) : 0, count = ids.size(1);
  CLOISTER_CHECK(before == 0 || count == 1);
  const std::array<std::int64_t, 1> length = {before + count};
  Positions positions = MakePositions(architecture_, before + count, length);
  positions.rotary.cosine = positions.rotary.cosine.narrow(1, before, count);
  positions.rotary.sine = positions.rotary.sine.narrow(1, before, count);
  if (positions.window.defined()) positions.window = positions.window.narrow(0, before, count);
  positions = positions.On(device());
  at::Tensor x = WatchOf(adapter).Embed(ids.to(device()), weights_.embedding).to(at::kFloat);
  for (std::int64_t layer = 0; layer < architecture_.num_layers; ++layer) {
    x = Layer(layer, x, positions, LayerAdapter(adapter, layer),
              &past[static_cast<std::size_t>(layer)]);
  }
  return x;
}

at::Tensor Network::Normalize(const at::Tensor& hidden, const NetworkAdapter* adapter) const {
  return WatchOf(adapter).RmsNorm(hidden, weights_.final_norm, architecture_.rms_norm_eps, type());
}

at::Tensor Network::Logits(const at::Tensor& hidden) const {
  return Linear(Normalize(hidden, nullptr), head());
}

}  // namespace cloister::trainer
