#pragma once

#include <cstdint>

namespace cloister::trainer {

// Stands before each decoder layer of a network whose weights are not all there: a layer's are when
// Enter() returns, until the same thread enters another.
class LayerGate {
 public:
  virtual ~LayerGate() = default;

  // Before a pass reads the layer's weights: forward from the first layer to the last, then, where
  // it has a backward pass, back from the last to the first. Throws where they cannot be had.
  virtual void Enter(std::int64_t layer) = 0;
};

}  // namespace cloister::trainer
