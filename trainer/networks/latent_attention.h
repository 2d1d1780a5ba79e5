#pragma once

#include <ATen/core/Tensor.h>

#include "model/architecture.h"
#include "trainer/networks/adapter_paths.h"
#include "trainer/networks/attention.h"
#include "trainer/networks/rotary.h"
#include "trainer/networks/weights.h"

namespace cloister::trainer {

// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434 §2.1) of x [batch, tokens, hidden]
// before the output projection: [batch, tokens, heads * value_dim]. Keys and values are made in
// full from the latents: what training differentiates. `past` as for GroupedAttention.
at::Tensor LatentAttention(const model::Architecture& architecture,
                           const LatentAttentionWeights& weights, const at::Tensor& x,
                           const RotaryTable& rotary, const LayerAdapter& adapter,
                           std::span<const std::int64_t> segments = {}, KeyValues* past = nullptr);

}  // namespace cloister::trainer
