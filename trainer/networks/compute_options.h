#pragma once

namespace cloister::trainer {

// How a network computes its passes, whatever it learns.
struct ComputeOptions {
  // Keep each decoder layer's input alone for the backward pass, which computes the layer once more
  // (Chen et al. 2016): less memory, about a third more time, the same bits.
  bool activation_checkpointing = false;
};

}  // namespace cloister::trainer
