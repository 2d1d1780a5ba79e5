#pragma once

#include "trainer/networks/weights.h"

namespace cloister::trainer {

// Inside trainer/networks/ only. Calls use(linear) for each linear of the layer.
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

}  // namespace cloister::trainer
