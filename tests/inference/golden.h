#pragma once

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "model/huggingface/safetensors_file.h"
#include "model/tokenizer.h"

namespace cloister::inference {

// What another implementation computed in fp32: sequences, logits after each token, the greedy
// continuation of each sequence, the mean loss of each sequence.
struct Golden {
  std::vector<std::vector<model::TokenId>> input_ids;   // [sequences][length]
  std::vector<std::vector<model::TokenId>> greedy_ids;  // [sequences][new]
  std::vector<float> logits;                            // [sequences, length, vocab]
  std::vector<float> loss_per_sample;                   // [sequences]
};

inline std::vector<std::vector<model::TokenId>> IdRows(const model::SafetensorsFile::Entry& entry) {
  std::vector<std::vector<model::TokenId>> rows(static_cast<std::size_t>(entry.shape.at(0)));
  const std::byte* at = entry.data.data();
  for (auto& row : rows) {
    for (std::int64_t i = 0; i < entry.shape.at(1); ++i, at += sizeof(std::int64_t)) {
      std::int64_t id;
      std::memcpy(&id, at, sizeof(id));
      row.push_back(static_cast<model::TokenId>(id));
    }
  }
  return rows;
}

inline std::vector<float> Floats(const model::SafetensorsFile::Entry& entry) {
  std::vector<float> values(entry.data.size() / sizeof(float));
  std::memcpy(values.data(), entry.data.data(), entry.data.size());
  return values;
}

inline base::Result<Golden> ReadGolden(const std::filesystem::path& folder) {
  CLOISTER_ASSIGN_OR_RETURN(const model::SafetensorsFile file,
                            model::SafetensorsFile::Open(folder / "golden.safetensors"));
  const auto& entries = file.entries();
  return Golden{IdRows(entries.at("input_ids")), IdRows(entries.at("greedy_ids")),
                Floats(entries.at("logits")), Floats(entries.at("loss_per_sample"))};
}

}  // namespace cloister::inference
