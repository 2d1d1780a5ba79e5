#pragma once

#include <ATen/ATen.h>

#include <memory>

#include "trainer/networks/weights.h"

namespace cloister::trainer {

// The same network, every matrix dense: what its blocks stand for.
inline NetworkWeights Dequantized(NetworkWeights weights) {
  const auto widen = [](std::shared_ptr<const BlockMatrix>& blocks, at::Tensor& weight) {
    if (!blocks) return;
    weight = blocks->Rows(0, blocks->rows(), at::kFloat);
    blocks.reset();
  };
  const auto linear = [&](LinearWeights& one) { widen(one.blocks, one.weight); };
  const auto mlp = [&](MlpWeights& one) {
    linear(one.gate_up);
    linear(one.down);
  };
  const bool tied = weights.head_blocks && weights.head_blocks == weights.embedding_blocks;
  widen(weights.embedding_blocks, weights.embedding);
  if (tied) {
    weights.head_blocks.reset();
    weights.head = weights.embedding;
  }
  widen(weights.head_blocks, weights.head);
  for (LayerWeights& layer : weights.layers) {
    if (layer.grouped) linear(layer.grouped->qkv);
    if (layer.latent) {
      for (LinearWeights* one : {&layer.latent->query, &layer.latent->query_up,
                                 &layer.latent->kv_latent, &layer.latent->kv_up}) {
        linear(*one);
      }
    }
    linear(layer.output);
    if (layer.dense) mlp(*layer.dense);
    if (!layer.mixture) continue;
    for (MlpWeights& expert : layer.mixture->experts) mlp(expert);
    if (layer.mixture->shared) mlp(*layer.mixture->shared);
  }
  return weights;
}

}  // namespace cloister::trainer
