#pragma once

#include <ATen/core/Tensor.h>

#include "trainer/networks/adapter_paths.h"
#include "trainer/networks/weights.h"

namespace cloister::trainer {

// down(silu(gate x) * up x) for x [.., hidden] (SwiGLU, Shazeer 2020), with the paths of `adapter`
// on gate, up and down.
at::Tensor Mlp(const MlpWeights& weights, const at::Tensor& x, const LayerAdapter& adapter);

}  // namespace cloister::trainer
