#pragma once

#include "trainer/recipe/recipe.h"

namespace cloister::trainer {

// The clip norm of an adaptive run: after each step it moves, geometrically, to where the wanted
// share of the units' norms lies (Andrew, Thakkar, McMahan, Ramaswamy 2021, "Differentially private
// learning with adaptive clipping", algorithm 1). It reads released values alone.
class AdaptiveClipNorm {
 public:
  AdaptiveClipNorm(const Recipe::AdaptiveNorm& settings, double first_norm, double nominal_batch)
      : settings_(settings), norm_(first_norm), nominal_batch_(nominal_batch) {}

  double norm() const { return norm_; }
  void Restore(double norm) { norm_ = norm; }
  // `count`: noised number of units within the norm, less half the number of units.
  void Update(double count);

 private:
  Recipe::AdaptiveNorm settings_;
  double norm_;
  double nominal_batch_;  // public
};

}  // namespace cloister::trainer
