#pragma once

#include <cstdint>
#include <vector>

#include "inference/engine/pass.h"

namespace cloister::inference {

// SwiGLU (Shazeer 2020): down(silu(gate(x)) * up(x)). Holds the scratch memory of a pass: not
// thread-safe.
class Mlp {
 public:
  // `size`: the largest of the MLPs that will be run.
  Mlp(Pass& pass, std::int64_t size, std::int64_t max_batch);

  // `output`: [tokens, hidden].
  void Run(const MlpWeights& weights, kernels::cpu::Activations& input, float* output);

 private:
  Pass& pass_;
  std::vector<float> gate_;  // [tokens, intermediate]
  std::vector<float> up_;    // [tokens, intermediate]
  kernels::cpu::Activations gated_;
};

}  // namespace cloister::inference
