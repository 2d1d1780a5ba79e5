#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "tests/inference/golden.h"
#include "trainer/data/example.h"

namespace cloister::trainer {

// The sequences of a fixture as examples of which every token but the first is to be predicted.
inline std::vector<Example> GoldenExamples(const std::filesystem::path& folder) {
  const auto golden = model::SafetensorsFile::Open(folder / "golden.safetensors").value();
  std::vector<Example> examples;
  for (auto& ids : inference::IdRows(golden.entries().at("input_ids"))) {
    Example example;
    example.answer.assign(ids.size(), 1);
    example.answer.front() = 0;
    example.ids = std::move(ids);
    examples.push_back(std::move(example));
  }
  return examples;
}

// What another implementation computed of each sequence, e.g. "grad_norm_per_sample".
inline std::vector<float> GoldenFloats(const std::filesystem::path& folder,
                                       const std::string& name) {
  const auto golden = model::SafetensorsFile::Open(folder / "golden.safetensors").value();
  return inference::Floats(golden.entries().at(name));
}

}  // namespace cloister::trainer
