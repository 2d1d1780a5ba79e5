#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "trainer/optimisation/adam_rule.h"
#include "trainer/optimisation/optimizer.h"

namespace cloister::trainer {

// AdamW (Loshchilov and Hutter 2019), as torch.optim.AdamW: 8 bytes of moments a parameter and
// nothing besides. Pieces may begin and end anywhere.
class AdamW final : public Optimizer {
 public:
  AdamW(const Options& options, std::size_t parameters);

  Moved Update(std::size_t first, std::span<float> parameters, std::span<const float> gradient,
               double scale) override;
  StateArrays State() override;

 private:
  void NoteNoise(double variance) override { rule_.NoteNoise(variance); }

  AdamRule rule_;
  std::vector<float> first_, second_;
};

}  // namespace cloister::trainer
