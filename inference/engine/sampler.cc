#include "inference/engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace cloister::inference {

model::TokenId Argmax(std::span<const float> logits) {
  // max_element returns the first of equals.
  return static_cast<model::TokenId>(std::max_element(logits.begin(), logits.end()) -
                                     logits.begin());
}

std::vector<model::TokenId> TopIds(std::span<const float> logits, std::size_t count) {
  std::vector<model::TokenId> ids(logits.size());
  std::iota(ids.begin(), ids.end(), model::TokenId{0});
  count = std::min(count, ids.size());
  std::partial_sort(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(count), ids.end(),
                    [&](model::TokenId a, model::TokenId b) {
                      const float x = logits[static_cast<std::size_t>(a)];
                      const float y = logits[static_cast<std::size_t>(b)];
                      return x != y ? x > y : a < b;
                    });
  ids.resize(count);
  return ids;
}

model::TokenId Sampler::Next(std::span<const float> logits) {
  if (temperature_ == 0) return Argmax(logits);
  const double largest = *std::max_element(logits.begin(), logits.end());
  weights_.resize(logits.size());
  double total = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    total += weights_[i] = std::exp((logits[i] - largest) / temperature_);
  }
  // 53 random bits, uniform in [0, 1): std::uniform_real_distribution differs between libraries.
  double left = static_cast<double>(generator_() >> 11) * 0x1p-53 * total;
  std::size_t chosen = 0;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    if (weights_[i] == 0) continue;
    chosen = i;
    if (left < weights_[i]) break;
    left -= weights_[i];
  }
  return static_cast<model::TokenId>(chosen);
}

}  // namespace cloister::inference
