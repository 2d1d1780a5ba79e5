#pragma once

#include <cstdint>
#include <vector>

#include "inference/engine/mlp.h"
#include "inference/engine/pass.h"

namespace cloister::inference {

// A mixture of experts (model::Experts). Tokens of a pass that chose the same expert go through it
// together; a token's sum runs over its experts by rising index, so that it is the same bits in any
// batch. Holds the scratch memory of a pass: not thread-safe.
class ExpertMixture {
 public:
  ExpertMixture(Pass& pass, std::int64_t max_batch);

  // `output`: [tokens, hidden].
  void Run(const ExpertsWeights& weights, kernels::cpu::Activations& input, float* output);

 private:
  struct Visit {
    std::int64_t token = 0;
    float weight = 0;
  };

  void Choose(const ExpertsWeights& weights, kernels::cpu::Activations& input);
  void RunExpert(const MlpWeights& weights, const std::vector<Visit>& visits,
                 const kernels::cpu::Activations& input, float* output);

  Pass& pass_;
  Mlp mlp_;
  std::vector<float> logits_;               // [tokens, experts]
  std::vector<std::vector<Visit>> visits_;  // an expert
  kernels::cpu::Activations gathered_;
  std::vector<float> result_;  // [tokens, hidden]
};

}  // namespace cloister::inference
