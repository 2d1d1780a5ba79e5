#pragma once

#include <map>
#include <string>

#include "base/result.h"
#include "model/huggingface/safetensors_file.h"

namespace cloister::model {

// The tensors of an adapter_model.safetensors by the modules of the adapted network. Names are
// Hugging Face's for a causal language model, whether the file's begin with base_model.model. or
// not, with model. or (an adapter of the network without its head) not, and whether they carry the
// adapter's name (lora_A.default.weight) or not. Values are the file's names.
struct PeftTensors {
  struct Factors {
    std::string a, b;        // file names; empty: absent
    bool embedding = false;  // lora_embedding_A and B, whose product is turned over
  };
  std::map<std::string, Factors> factors;    // by module: model.layers.0.self_attn.q_proj
  std::map<std::string, std::string> whole;  // by parameter: lm_head.weight
  bool bare = false;                         // the names lack model.

  // The name that the adapted model gives the module.
  std::string OwnName(const std::string& module) const;
};

// kDataLoss when two tensors are the same one of the network.
base::Result<PeftTensors> SortPeftTensors(const SafetensorsFile& file);

}  // namespace cloister::model
