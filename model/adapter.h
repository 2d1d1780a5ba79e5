#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/architecture.h"

namespace cloister::model {

// A linear layer that an adapter may sit on.
struct LinearModule {
  std::string name;    // within its decoder layer: self_attn.q_proj, mlp.shared_experts.up_proj
  std::string target;  // the last part of the name
  std::int64_t out = 0;
  std::int64_t in = 0;
};

// Those of one layer, in the network's order: of grouped-query or latent attention, then gate, up
// and down of the dense MLP or of the shared experts. No two have the same target. Not among them:
// the router, which is no linear layer to PEFT, and the routed experts, which transformers since
// version 5 holds as stacks that PEFT cannot name.
std::vector<LinearModule> LinearModules(const Architecture& architecture, std::int64_t layer);

// A LoRA adapter's description: W' = W + scale * B A on each target layer.
struct LoraConfig {
  std::int64_t rank = 0;
  double alpha = 0;
  // As in PEFT, a target means every module that ends so: gate_proj the dense MLP's and the shared
  // experts'. Not every layer need have it.
  std::vector<std::string> targets;
  std::int64_t first_layer = 0;  // adapters sit on layers first_layer … num_layers - 1
  bool rank_stabilized = false;  // rsLoRA (arXiv 2312.03732), use_rslora in PEFT
  double dropout = 0;            // in training: the share of a path's input that is left out

  // alpha / rank, or alpha / sqrt(rank) where rank-stabilized.
  double scale() const;
  friend bool operator==(const LoraConfig&, const LoraConfig&) = default;
};

// kInvalidArgument for sizes out of range, for a target that no adapted layer has, or one that is
// there twice.
base::Status Validate(const LoraConfig& config, const Architecture& architecture);

// One of the adapter's matrices and its place in the flat parameter vector, the form in which
// updates are summed, noised and sent.
struct AdapterTensor {
  std::string name;    // PEFT's: base_model.model.model.layers.N.self_attn.v_proj.lora_A.weight
  std::string target;  // the weight it changes: model.layers.N.self_attn.v_proj.weight
  std::int64_t layer = 0;
  std::string projection;  // the target's name: v_proj
  bool is_a = false;       // A is [rank, in], B is [out, rank]
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t offset = 0;  // elements into the flat vector
};

// In the order layer, target (as listed in `config`; those that the layer has), A before B. Offsets
// are contiguous.
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
// An adapter that can be trained on: one rank and scale, and the targets on all layers from one on.
// Errors: as ReadAdapterChanges; kUnimplemented, naming the field, for an adapter that does more
// (modules_to_save, patterns, embeddings): that can be merged.
base::Result<Adapter> LoadAdapter(const std::filesystem::path& folder,
                                  const Architecture& architecture);

}  // namespace cloister::model
