// The bfloat16 copies of trained weights.
#include <ATen/ATen.h>

#include "trainer/networks/weights.h"

namespace cloister::trainer {
namespace {

void RoundMatrix(const at::Tensor& weight, at::Tensor& rounded) {
  if (!weight.defined() || weight.scalar_type() != at::kFloat) return;
  if (!rounded.defined())
    rounded = at::empty(weight.sizes(), weight.options().dtype(at::kBFloat16));
  rounded.copy_(weight.detach());
}

void RoundLinear(LinearWeights& linear) { RoundMatrix(linear.weight, linear.rounded); }

// Calls use(linear) for each of the layer's that is rounded.
template <typename Use>
void ForLinears(LayerWeights& layer, const Use& use) {
  const auto of_mlp = [&](MlpWeights& mlp) {
    use(mlp.gate_up);
    use(mlp.down);
  };
  if (layer.grouped) use(layer.grouped->qkv);
  if (layer.latent) {
    for (LinearWeights* linear : {&layer.latent->query, &layer.latent->query_up,
                                  &layer.latent->kv_latent, &layer.latent->kv_up}) {
      use(*linear);
    }
  }
  use(layer.output);
  if (layer.dense) of_mlp(*layer.dense);
  if (!layer.mixture) return;
  for (MlpWeights& expert : layer.mixture->experts) of_mlp(expert);
  if (layer.mixture->shared) of_mlp(*layer.mixture->shared);
}

}  // namespace

void NetworkWeights::Round() {
  RoundMatrix(head, rounded_head);
  for (LayerWeights& layer : layers) ForLinears(layer, RoundLinear);
}

void NetworkWeights::RoundLayer(std::int64_t layer, bool here) {
  if (layer < 0) {
    here ? RoundMatrix(head, rounded_head) : rounded_head.reset();
    return;
  }
  ForLinears(layers[static_cast<std::size_t>(layer)], [here](LinearWeights& linear) {
    here ? RoundLinear(linear) : linear.rounded.reset();
  });
}

}  // namespace cloister::trainer
