#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "dp/clipping/lora_path.h"
#include "model/architecture.h"
#include "trainer/networks/operators.h"
#include "trainer/networks/weights.h"

namespace cloister::trainer {

// The seven linear layers of a decoder layer that an adapter may sit on.
enum class Target { kQ, kK, kV, kO, kGate, kUp, kDown };
constexpr std::size_t kTargets = 7;

// A LoRA adapter as the network reads it.
struct NetworkAdapter {
  struct Path {
    at::Tensor a, b;         // [rank, in], [out, rank]
    std::int64_t index = 0;  // told to the observer
  };
  std::vector<std::array<std::optional<Path>, kTargets>> layers;  // one row a decoder layer
  std::int64_t first_layer = 0;  // below it no layer has a path and nothing is differentiated
  double scale = 0;
  dp::clipping::PathObserver* observer = nullptr;
};

// The decoder that `architecture` describes, in fp32: token embedding, pre-norm layers of causal
// grouped-query attention and SwiGLU, final norm, head. Immutable but for its weights' gradients;
// thread-safe where autograd is.
class Network {
 public:
  Network(const model::Architecture& architecture, NetworkWeights weights);

  // The last layer's output before the final norm, [batch, tokens, hidden], for ids i64 [batch,
  // tokens], right-padded with any valid id. With an adapter, layers below its first_layer run
  // without autograd: base weights are frozen then.
  at::Tensor Hidden(const at::Tensor& ids, const NetworkAdapter* adapter) const;
  // Final norm, for rows of Hidden().
  at::Tensor Normalize(const at::Tensor& hidden) const;
  // Scores over the vocabulary, [.., vocab], of rows of Hidden().
  at::Tensor Logits(const at::Tensor& hidden) const;

  const model::Architecture& architecture() const { return architecture_; }
  const NetworkWeights& weights() const { return weights_; }

 private:
  at::Tensor Layer(std::int64_t index, const at::Tensor& x, const NetworkAdapter* adapter) const;
  at::Tensor Attention(std::int64_t index, const at::Tensor& x,
                       const NetworkAdapter* adapter) const;
  at::Tensor Mlp(std::int64_t index, const at::Tensor& x, const NetworkAdapter* adapter) const;

  model::Architecture architecture_;
  NetworkWeights weights_;
  RotaryTable rotary_;
};

}  // namespace cloister::trainer
