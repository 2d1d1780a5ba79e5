#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "model/architecture.h"
#include "trainer/networks/adapter_paths.h"
#include "trainer/networks/attention.h"
#include "trainer/networks/compute_options.h"
#include "trainer/networks/layer_gate.h"
#include "trainer/networks/weights.h"

namespace cloister::trainer {

// The decoder that `architecture` describes: token embedding, pre-norm layers of causal
// attention (grouped-query or latent) and an MLP (dense or a mixture of experts), final norm, head.
// No token's values depend on another example's. Immutable but for its weights' gradients;
// thread-safe where autograd is.
class Network {
 public:
  Network(const model::Architecture& architecture, NetworkWeights weights,
          const ComputeOptions& options = {});

  // With Precision::kBf16, after the weights changed: rounds those that are trained to the copies
  // by which it multiplies.
  void RoundWeights();
  // The same where layers come and go (ShardedParameters): of one that came, and memory given back
  // of one that goes; -1 for what is outside of the layers.
  void RoundLayer(std::int64_t layer, bool here);
  // Every pass that has or had a gradient enters layers through `gate`, which must outlive the
  // network; wants ComputeOptions::activation_checkpointing.
  void SetGate(LayerGate& gate);

  // The last layer's output before the final norm, fp32 [batch, tokens, hidden], for ids i64
  // [batch, tokens], right-padded with any valid id. With an adapter, layers below its first_layer
  // run without autograd: base weights are frozen then. `lengths`, one an example, are the lengths
  // that a rope which grows with them goes by; empty: all of `tokens`. With `segments` ids are one
  // row of examples that stand behind one another, each so many tokens, which see nothing of each
  // other. The network must outlive a backward pass, and the adapter's observer too.
  at::Tensor Hidden(const at::Tensor& ids, const NetworkAdapter* adapter,
                    std::span<const std::int64_t> lengths = {},
                    std::span<const std::int64_t> segments = {}) const;
  // The same for the tokens that follow those in `past`, one KeyValues a layer, which takes them
  // up: all of a prompt while it is empty, then one at a time. One sequence, no gradient. A rope
  // that grows with the sequence goes by its length so far, and what is kept stays as it was
  // rotated, as in transformers.
  at::Tensor Extend(const at::Tensor& ids, const NetworkAdapter* adapter,
                    std::span<KeyValues> past) const;
  // Final norm, for rows of Hidden().
  at::Tensor Normalize(const at::Tensor& hidden, const NetworkAdapter* adapter) const;
  // Scores over the vocabulary, [.., vocab], of rows of Hidden().
  at::Tensor Logits(const at::Tensor& hidden) const;

  const model::Architecture& architecture() const { return architecture_; }
  const NetworkWeights& weights() const { return weights_; }
  // Where the weights are, and what the passes above return; what they are given may be elsewhere.
  at::Device device() const { return weights_.final_norm.device(); }
  const ComputeOptions& options() const { return options_; }
  LinearWeights head() const {
    return {weights_.head, {}, weights_.rounded_head, weights_.head_blocks};
  }

 private:
  at::ScalarType type() const;  // of activations between products
  at::Tensor Layer(std::int64_t index, const at::Tensor& x, const Positions& positions,
                   const LayerAdapter& adapter, KeyValues* past = nullptr) const;

  // Everything on that layer that may have a gradient.
  std::vector<at::Tensor> Leaves(std::int64_t index, const LayerAdapter& adapter) const;

  model::Architecture architecture_;
  NetworkWeights weights_;
  ComputeOptions options_;
  LayerGate* gate_ = nullptr;
};

}  // namespace cloister::trainer
