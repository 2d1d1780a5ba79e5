#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "trainer/optimisation/adam_rule.h"
#include "trainer/optimisation/optimizer.h"

namespace cloister::trainer {

// AdamW whose moments are bytes between the steps (Dettmers, Lewis, Shleifer and Zettlemoyer 2022,
// "8-bit Optimizers via Block-wise Quantization"; byte_map.h): of each 256 parameters in a row one
// fp32 scale for each moment. 2 + 1/32 bytes a parameter in place of AdamW's 8. A step computes as
// AdamW does, from moments that were rounded after the step before.
class AdamW8Bit final : public Optimizer {
 public:
  AdamW8Bit(const Options& options, std::size_t parameters);

  Moved Update(std::size_t first, std::span<float> parameters, std::span<const float> gradient,
               double scale) override;
  StateArrays State() override;

 private:
  void NoteNoise(double variance) override { rule_.NoteNoise(variance); }

  AdamRule rule_;
  std::vector<std::uint8_t> first_, second_;
  std::vector<float> first_scales_, second_scales_;  // a block each
};

}  // namespace cloister::trainer
