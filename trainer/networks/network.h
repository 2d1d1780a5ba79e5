#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "model/architecture.h"
#include "trainer/networks/adapter_paths.h"
#include "trainer/networks/attention.h"
#include "trainer/networks/compute_options.h"
#include "trainer/networks/weights.h"

namespace cloister::trainer {

// The decoder that `architecture` describes, in fp32: token embedding, pre-norm layers of causal
// attention (grouped-query or latent) and an MLP (dense or a mixture of experts), final norm, head.
// No token's values depend on another example's. Immutable but for its weights' gradients;
// thread-safe where autograd is.
class Network {
 public:
  Network(const model::Architecture& architecture, NetworkWeights weights,
          const ComputeOptions& options = {});

  // The last layer's output before the final norm, [batch, tokens, hidden], for ids i64 [batch,
  // tokens], right-padded with any valid id. With an adapter, layers below its first_layer run
  // without autograd: base weights are frozen then. `lengths`, one an example, are the lengths that
  // a rope which grows with them goes by; empty: all of `tokens`. The network and the adapter must
  // outlive a backward pass.
  at::Tensor Hidden(const at::Tensor& ids, const NetworkAdapter* adapter,
                    std::span<const std::int64_t> lengths = {}) const;
  // Final norm, for rows of Hidden().
  at::Tensor Normalize(const at::Tensor& hidden, const NetworkAdapter* adapter) const;
  // Scores over the vocabulary, [.., vocab], of rows of Hidden().
  at::Tensor Logits(const at::Tensor& hidden) const;

  const model::Architecture& architecture() const { return architecture_; }
  const NetworkWeights& weights() const { return weights_; }

 private:
  at::Tensor Layer(std::int64_t index, const at::Tensor& x, const Positions& positions,
                   const LayerAdapter& adapter) const;

  // Everything on that layer that may have a gradient.
  std::vector<at::Tensor> Leaves(std::int64_t index, const LayerAdapter& adapter) const;

  model::Architecture architecture_;
  NetworkWeights weights_;
  ComputeOptions options_;
};

}  // namespace cloister::trainer
