#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/architecture.h"

namespace cloister::model {

// A LoRA adapter's description: W' = W + (alpha / rank) * B A on each target layer.
struct LoraConfig {
  std::int64_t rank = 0;
  double alpha = 0;
  std::vector<std::string> targets;  // of q_proj k_proj v_proj o_proj gate_proj up_proj down_proj
  std::int64_t first_layer = 0;      // adapters sit on layers first_layer … num_layers - 1

  double scale() const { return alpha / static_cast<double>(rank); }
  friend bool operator==(const LoraConfig&, const LoraConfig&) = default;
};

base::Status Validate(const LoraConfig& config, const Architecture& architecture);

// One of the adapter's matrices and its place in the flat parameter vector, the form in which
// updates are summed, noised and sent.
struct AdapterTensor {
  std::string name;    // PEFT's: base_model.model.model.layers.N.self_attn.v_proj.lora_A.weight
  std::string target;  // the weight it changes: model.layers.N.self_attn.v_proj.weight
  bool is_a = false;   // A is [rank, in], B is [out, rank]
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t offset = 0;  // elements into the flat vector
};

// In the order layer, target (as listed in `config`), A before B. Offsets are contiguous.
std::vector<AdapterTensor> AdapterLayout(const LoraConfig& config,
                                         const Architecture& architecture);
std::int64_t AdapterSize(const std::vector<AdapterTensor>& layout);

// The public starting point: A uniform in ±1/sqrt(in) (PEFT's kaiming_uniform with a = sqrt 5) from
// a SplitMix64 stream of `seed`, B zero. The same on every machine. Not secret, not noise.
std::vector<float> InitialAdapter(const std::vector<AdapterTensor>& layout, std::uint64_t seed);

// A PEFT folder: adapter_config.json and adapter_model.safetensors (fp32).
base::Status SaveAdapter(const std::filesystem::path& folder, const LoraConfig& config,
                         const Architecture& architecture, std::span<const float> parameters,
                         const std::string& base_model);

struct Adapter {
  LoraConfig config;
  std::vector<float> parameters;  // in AdapterLayout's order
};
// kNotFound or kDataLoss, naming file and field, for an absent or malformed folder or one of
// another model; kUnimplemented for variants of LoRA (rslora, dora, modules_to_save, patterns,
// biases).
base::Result<Adapter> LoadAdapter(const std::filesystem::path& folder,
                                  const Architecture& architecture);

}  // namespace cloister::model
