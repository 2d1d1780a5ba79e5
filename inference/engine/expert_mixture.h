#pragma once

#include <cstdint>
#include <vector>

#include "inference/engine/mlp.h"
#include "inference/engine/pass.h"

namespace cloister::inference {

// A mixture of experts (model::Experts). Tokens of a pass that chose the same expert go through it
// together, and all experts of a pass are one loop; a token's sum runs over its experts by rising
// index, so that it is the same bits in any batch. Holds the scratch memory of a pass: not
// thread-safe.
class ExpertMixture {
 public:
  ExpertMixture(Pass& pass, std::int64_t max_batch);

  // `output`: [tokens, hidden].
  void Run(const ExpertsWeights& weights, kernels::cpu::Activations& input, float* output);

 private:
  // A token's way through one of its experts.
  struct Visit {
    std::int64_t expert = 0;
    float weight = 0;
    std::int64_t row = 0;  // in gate_, up_, gated_ and result_, which are sorted by expert
  };

  void Choose(const ExpertsWeights& weights, kernels::cpu::Activations& input);
  void SortByExpert(std::int64_t tokens);
  void RunExperts(const ExpertsWeights& weights, kernels::cpu::Activations& input);
  kernels::cpu::Activations& Gather(kernels::cpu::Activations& input);
  void Combine(std::int64_t tokens, bool shared, float* output);

  Pass& pass_;
  Mlp shared_;
  std::int64_t per_token_;
  std::vector<float> logits_;           // [tokens, experts]
  std::vector<Visit> visits_;           // [tokens, per_token], a token's by rising expert
  std::vector<std::int64_t> starts_;    // [experts + 1]: an expert's first row, then all rows
  kernels::cpu::Activations gathered_;  // [rows, hidden]
  std::vector<float> gate_, up_;        // [rows, intermediate]
  kernels::cpu::Activations gated_;     // [rows, intermediate]
  std::vector<float> result_;           // [rows, hidden]
  std::vector<float> shared_result_;    // [tokens, hidden]
};

}  // namespace cloister::inference
