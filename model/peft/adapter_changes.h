#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/architecture.h"
#include "model/huggingface/safetensors_file.h"
#include "model/peft/peft_config.h"

namespace cloister::model {

// W' = W + scale * B A for one weight of the network.
struct LowRankChange {
  std::optional<std::int64_t> layer;  // none: embedding or head
  std::int64_t rank = 0;
  double scale = 0;
  TensorView a;            // A [rank, in]
  TensorView b;            // its entry [i, b_first + j * b_step] is B's [i, j], [out, rank]
  bool embedding = false;  // of an embedding, W' = W + scale * (B A)^T
  std::int64_t b_first = 0, b_step = 1;

  std::vector<float> A() const;  // in fp32, row-major
  std::vector<float> B() const;
};

// What a PEFT folder (adapter_config.json and adapter_model.safetensors) does to a network's
// weights. Tensors have Hugging Face's names and are views into the mapped file; factors are finite
// and fit, replacements are not looked into.
struct AdapterChanges {
  SafetensorsFile file;
  PeftConfig config;
  std::map<std::string, LowRankChange>
      low_rank;                                // by weight: model.layers.N.self_attn.q_proj.weight
  std::map<std::string, TensorView> replaced;  // before B A is added: modules_to_save

  bool Changes(const std::string& tensor) const {
    return low_rank.contains(tensor) || replaced.contains(tensor);
  }
};

// Reads it whole: every module that the config means must have its tensors, and every tensor must
// be meant. kNotFound or kDataLoss, naming file and field or tensor, for an absent or malformed
// folder or one of another model; kUnimplemented for what PEFT has beyond LoRA and modules_to_save
// (DoRA, trained biases, other methods), and for one half of a tied embedding changed alone.
base::Result<AdapterChanges> ReadAdapterChanges(const std::filesystem::path& folder,
                                                const Architecture& architecture);

}  // namespace cloister::model
