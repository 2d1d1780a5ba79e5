#pragma once

#include <vector>

#include "base/result.h"
#include "model/model_files.h"
#include "trainer/data/example.h"
#include "trainer/data/record_data.h"
#include "trainer/recipe/recipe.h"

namespace cloister::trainer {

// What a run trains on, and the examples of its held-out loss.
struct RunData {
  RecordData train;
  std::vector<Example> held_out;

  // kInvalidArgument, with privacy, for a held-out record that stands in the training file, and for
  // held-out records without an answer.
  static base::Result<RunData> Open(const Recipe& recipe, const model::ModelFiles& files);
};

}  // namespace cloister::trainer
