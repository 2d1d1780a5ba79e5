#pragma once

#include <ATen/core/Tensor.h>

#include "model/architecture.h"
#include "trainer/networks/adapter_paths.h"
#include "trainer/networks/weights.h"

namespace cloister::trainer {

// Which experts each token chose, and how much each counts.
struct Choice {
  at::Tensor indices;  // i64 [tokens, per_token], best first
  at::Tensor weights;  // fp32 [tokens, per_token], differentiable in the router's scores
};

// The choice that `experts` describes for logits = W x, fp32 [tokens, count]. Equal scores go to
// the lower index. Choosing has no gradient; the weights have one. A token's choice depends on its
// own logits alone. `correction_bias` [count] or undefined.
Choice ChooseExperts(const model::Experts& experts, const at::Tensor& logits,
                     const at::Tensor& correction_bias);

// A mixture of experts (DeepSeekMoE, arXiv 2401.06066) of x [batch, tokens, hidden]; `adapter`
// sits on the shared experts alone.
at::Tensor Mixture(const model::Experts& experts, const ExpertsWeights& weights,
                   const at::Tensor& x, const LayerAdapter& adapter);

}  // namespace cloister::trainer
