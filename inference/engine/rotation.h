#pragma once

#include <cstdint>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "model/architecture.h"

namespace cloister::inference {

// Rotary embedding of the tokens of one pass (model/rope.h). Not thread-safe, but Rotate may be
// called by several threads after Prepare.
class Rotation {
 public:
  Rotation(const model::Architecture& architecture, const kernels::cpu::Kernels& kernels,
           std::int64_t max_batch);

  // For `count` tokens at `position` and after. Where frequencies depend on the sequence's length,
  // it is `length`: tokens that are already cached keep the rotation that they had.
  void Prepare(std::int64_t position, std::int64_t count, std::int64_t length);

  // Turns the rotary_dim numbers at `x` by the angles of token `token` of the pass.
  void Rotate(float* x, std::int64_t token) const;

 private:
  model::Rope rope_;
  std::int64_t rotary_dim_;
  const kernels::cpu::Kernels& kernels_;
  std::vector<double> frequencies_;     // [rotary_dim / 2]
  std::vector<float> cosines_, sines_;  // [tokens, rotary_dim / 2]
};

}  // namespace cloister::inference
