#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "trainer/optimisation/optimizer.h"

namespace cloister::trainer {

// Stochastic gradient descent with momentum as torch.optim.SGD without dampening: with g the
// gradient and weight_decay times the parameter, m = momentum m + g, and the parameter moves by the
// rate times m, or with nesterov g + momentum m. 4 bytes a parameter; without momentum none. Pieces
// may begin and end anywhere.
class Sgd final : public Optimizer {
 public:
  Sgd(const Options& options, std::size_t parameters);

  Moved Update(std::size_t first, std::span<float> parameters, std::span<const float> gradient,
               double scale) override;
  StateArrays State() override;

 private:
  std::size_t size_;
  std::vector<float> momentum_;
};

}  // namespace cloister::trainer
