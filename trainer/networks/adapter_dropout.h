#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "trainer/data/example.h"

namespace cloister::trainer {

// Which numbers of an adapter's input are left out in training (PEFT's lora_dropout). What falls on
// an example is a function of the run's public seed, the step, the example's own tokens, the path
// and the place in its input: not of the examples beside it, of padding, threads or passes, and a
// step that is taken again draws the same. Under differential privacy a unit's contribution is
// therefore a function of the unit alone, once the public seed and the step are given, and clipped
// as ever (docs/design/0013-quantized-base.md). Nothing here is secret, and nothing is noise.
struct Dropout {
  double rate = 0;                   // share that is left out, in [0, 1)
  std::vector<std::uint64_t> draws;  // one an example of the batch: DrawOf()

  explicit operator bool() const { return rate > 0; }
};

// By what the examples `chosen` are drawn for in a step.
std::vector<std::uint64_t> DrawsOf(std::span<const Example> examples,
                                   std::span<const std::size_t> chosen, std::uint64_t seed,
                                   std::int64_t step);

// x [batch, tokens, in] with each number left out, zero, with probability `rate`, and else divided
// by 1 - rate. `path`: a number of the adapter's path, each of which draws for itself.
// Differentiable in x; nothing but the draws is kept for the backward pass.
at::Tensor DropInputs(const at::Tensor& x, const Dropout& dropout, std::int64_t path);

}  // namespace cloister::trainer
