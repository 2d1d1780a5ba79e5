#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/architecture.h"

namespace cloister::inference {

struct ChosenExpert {
  std::int64_t index = 0;
  float weight = 0;
};

// The experts that a token with these router logits, [count], goes to, by rising index
// (model::Experts). `bias` is empty or [count].
std::vector<ChosenExpert> ChooseExperts(const model::Experts& experts,
                                        std::span<const float> logits, std::span<const float> bias);

}  // namespace cloister::inference
