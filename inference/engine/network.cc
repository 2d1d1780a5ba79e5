#include "inference/engine/network.h"

#include <utility>

namespace cloister::inference {
namespace cpu = kernels::cpu;

Network::Network(const model::Architecture& architecture, Weights weights,
                 const cpu::Kernels& kernels, int threads, std::int64_t context,
                 std::int64_t max_batch)
    : architecture_(architecture),
      weights_(std::move(weights)),
      pass_(architecture_, kernels, threads, context, max_batch),
      mlp_(pass_, architecture.intermediate_size, max_batch),
      hidden_(static_cast<std::size_t>(max_batch * architecture.hidden_size)),
      projected_(hidden_.size()) {
  if (architecture_.latent) {
    latent_attention_.emplace(pass_, max_batch);
  } else {
    grouped_attention_.emplace(pass_, max_batch);
  }
  if (architecture_.experts) experts_.emplace(pass_, max_batch);
}

void Network::Run(std::span<const model::TokenId> ids, std::int64_t length, KvCache& cache) {
  tokens_ = static_cast<std::int64_t>(ids.size());
  Embed(ids);
  pass_.rotation().Prepare(cache.size(), tokens_, length);
  for (std::size_t i = 0; i < weights_.layers.size(); ++i) {
    const LayerWeights& layer = weights_.layers[i];
    const auto index = static_cast<std::int64_t>(i);
    Normalize(layer.attention_norm, 0, tokens_);
    if (layer.latent) {
      latent_attention_->Run(*layer.latent, index, normed_, cache, attended_);
    } else {
      grouped_attention_->Run(*layer.grouped, index, normed_, cache, attended_);
    }
    pass_.Linear(attended_, layer.attention_output, projected_.data());
    AddToHidden();
    Normalize(layer.mlp_norm, 0, tokens_);
    if (layer.experts) {
      experts_->Run(*layer.experts, normed_, projected_.data());
    } else {
      mlp_.Run(*layer.mlp, normed_, projected_.data());
    }
    AddToHidden();
  }
  cache.Advance(tokens_);
}

void Network::Logits(std::int64_t first, std::int64_t count, float* logits) {
  Normalize(weights_.final_norm, first, count);
  const cpu::Product product{&weights_.head, logits, architecture_.vocab_size};
  cpu::Linear(pass_.kernels(), pass_.pool(), normed_, {&product, 1});
}

void Network::Embed(std::span<const model::TokenId> ids) {
  const auto size = static_cast<std::size_t>(architecture_.hidden_size);
  for (std::size_t t = 0; t < ids.size(); ++t) {
    model::DequantizeRow(weights_.embedding, ids[t], hidden_.data() + t * size);
  }
}

// Rows first … first + count - 1 of the hidden states, normed, to rows 0 … count - 1 of `normed_`.
void Network::Normalize(std::span<const float> weight, std::int64_t first, std::int64_t count) {
  const std::int64_t size = architecture_.hidden_size;
  normed_.Resize(count, size);
  pass_.ForRows(count, [&](std::int64_t t) {
    pass_.kernels().rms_norm(hidden_.data() + (first + t) * size, weight.data(),
                             static_cast<float>(architecture_.rms_norm_eps), size, normed_.row(t));
  });
}

void Network::AddToHidden() {
  pass_.kernels().axpy(1.0f, projected_.data(), hidden_.data(),
                       tokens_ * architecture_.hidden_size);
}

}  // namespace cloister::inference
