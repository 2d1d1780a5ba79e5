#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "model/tokenizer.h"

namespace cloister::inference {

// The id of the largest logit; the lowest id among equals. `logits` is not empty.
model::TokenId Argmax(std::span<const float> logits);

// The `count` largest, descending; equal logits in rising order of id.
std::vector<model::TokenId> TopIds(std::span<const float> logits, std::size_t count);

// Chooses the next token. At temperature 0 it is Argmax; above, softmax(logits / temperature) is
// drawn from. Not thread-safe.
//
// The generator is std::mt19937_64 because the C++ standard fixes its output: a seed gives the same
// text everywhere. Texts are no privacy noise; noise comes from security/random.h alone.
class Sampler {
 public:
  // `temperature` is finite and at least 0.
  Sampler(double temperature, std::uint64_t seed) : temperature_(temperature), generator_(seed) {}
  model::TokenId Next(std::span<const float> logits);

 private:
  double temperature_;
  std::mt19937_64 generator_;
  std::vector<double> weights_;
};

}  // namespace cloister::inference
