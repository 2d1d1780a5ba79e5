#include "model/adapter.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/check.h"
#include "base/split_mix.h"

namespace cloister::model {
namespace {

using base::Code;

constexpr std::int64_t kMaxRank = 4096;

// The names of the targets that the adapted layers have.
std::vector<std::string> KnownTargets(const Architecture& architecture, std::int64_t first_layer) {
  std::vector<std::string> known;
  for (std::int64_t layer = first_layer; layer < architecture.num_layers; ++layer) {
    for (const LinearModule& module : LinearModules(architecture, layer)) {
      if (std::find(known.begin(), known.end(), module.target) == known.end()) {
        known.push_back(module.target);
      }
    }
  }
  return known;
}

std::string Listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

base::Status ValidateTargets(const LoraConfig& config, const Architecture& architecture) {
  const std::vector<std::string> known = KnownTargets(architecture, config.first_layer);
  if (config.targets.empty()) {
    return base::Fail(Code::kInvalidArgument,
                      "LoRA targets are empty: name at least one of " + Listed(known));
  }
  std::set<std::string> seen;
  for (const std::string& target : config.targets) {
    if (std::find(known.begin(), known.end(), target) == known.end()) {
      return base::Fail(Code::kInvalidArgument,
                        "LoRA target '" + target +
                            "' is no projection of this network's adapted layers: use " +
                            Listed(known));
    }
    if (!seen.insert(target).second) {
      return base::Fail(Code::kInvalidArgument,
                        "LoRA target '" + target + "' is listed twice: name it once");
    }
  }
  return {};
}

// SplitMix64 (Steele, Lea, Flood 2014): a public stream, the same on every machine.
class SplitMix64 {
 public:
  explicit SplitMix64(std::uint64_t seed) : state_(seed) {}

  std::uint64_t Next() {
    state_ += base::kSplitMixStep;
    return base::SplitMix(state_);
  }

  // Uniform in [0, 1), 53 bits.
  double NextUnit() { return static_cast<double>(Next() >> 11) * 0x1p-53; }

 private:
  std::uint64_t state_;
};

}  // namespace

std::vector<LinearModule> LinearModules(const Architecture& a, std::int64_t layer) {
  std::vector<LinearModule> modules;
  const auto add = [&](const std::string& block, const char* target, std::int64_t out,
                       std::int64_t in) {
    modules.push_back({block + "." + target, target, out, in});
  };
  if (a.latent) {
    const LatentAttention& latent = *a.latent;
    if (latent.query_rank == 0) {
      add("self_attn", "q_proj", a.query_size(), a.hidden_size);
    } else {
      add("self_attn", "q_a_proj", latent.query_rank, a.hidden_size);
      add("self_attn", "q_b_proj", a.query_size(), latent.query_rank);
    }
    add("self_attn", "kv_a_proj_with_mqa", latent.kv_rank + latent.rope_dim, a.hidden_size);
    add("self_attn", "kv_b_proj", a.num_heads * (latent.nope_dim + latent.value_dim),
        latent.kv_rank);
  } else {
    add("self_attn", "q_proj", a.query_size(), a.hidden_size);
    add("self_attn", "k_proj", a.kv_size(), a.hidden_size);
    add("self_attn", "v_proj", a.kv_size(), a.hidden_size);
  }
  add("self_attn", "o_proj", a.hidden_size, a.attended_size());
  const bool mixture = a.has_experts(layer);
  const std::int64_t size =
      mixture ? a.experts->shared * a.experts->intermediate_size : a.intermediate_size;
  if (size == 0) return modules;  // a mixture without shared experts
  const std::string block = mixture ? "mlp.shared_experts" : "mlp";
  add(block, "gate_proj", size, a.hidden_size);
  add(block, "up_proj", size, a.hidden_size);
  add(block, "down_proj", a.hidden_size, size);
  return modules;
}

double LoraConfig::scale() const {
  const auto size = static_cast<double>(rank);
  return alpha / (rank_stabilized ? std::sqrt(size) : size);
}

base::Status Validate(const LoraConfig& config, const Architecture& architecture) {
  if (config.rank < 1 || config.rank > kMaxRank) {
    return base::Fail(Code::kInvalidArgument, "LoRA rank is " + std::to_string(config.rank) +
                                                  ": choose one in 1 … " +
                                                  std::to_string(kMaxRank));
  }
  if (!std::isfinite(config.alpha) || config.alpha <= 0) {
    return base::Fail(Code::kInvalidArgument,
                      "LoRA alpha must be a finite number above 0: choose twice the rank");
  }
  if (!(config.dropout >= 0 && config.dropout < 1)) {
    return base::Fail(Code::kInvalidArgument,
                      "LoRA dropout must be at least 0 and below 1: 0.05 is usual");
  }
  if (config.first_layer < 0 || config.first_layer >= architecture.num_layers) {
    return base::Fail(Code::kInvalidArgument, "LoRA first layer is " +
                                                  std::to_string(config.first_layer) +
                                                  ": choose one of the model's layers 0 … " +
                                                  std::to_string(architecture.num_layers - 1));
  }
  return ValidateTargets(config, architecture);
}

std::vector<AdapterTensor> AdapterLayout(const LoraConfig& config,
                                         const Architecture& architecture) {
  std::vector<AdapterTensor> layout;
  std::int64_t offset = 0;
  const auto add = [&](std::int64_t layer, const LinearModule& module, bool is_a) {
    const std::string path = "model.layers." + std::to_string(layer) + "." + module.name;
    const std::string name =
        "base_model.model." + path + (is_a ? ".lora_A.weight" : ".lora_B.weight");
    const std::int64_t rows = is_a ? config.rank : module.out;
    const std::int64_t columns = is_a ? module.in : config.rank;
    layout.push_back({name, path + ".weight", layer, module.target, is_a, rows, columns, offset});
    offset += rows * columns;
  };
  for (std::int64_t layer = config.first_layer; layer < architecture.num_layers; ++layer) {
    const std::vector<LinearModule> modules = LinearModules(architecture, layer);
    for (const std::string& target : config.targets) {
      for (const LinearModule& module : modules) {
        if (module.target != target) continue;
        add(layer, module, true);
        add(layer, module, false);
      }
    }
  }
  return layout;
}

std::int64_t AdapterSize(const std::vector<AdapterTensor>& layout) {
  if (layout.empty()) return 0;
  return layout.back().offset + layout.back().rows * layout.back().columns;
}

std::vector<float> InitialAdapter(const std::vector<AdapterTensor>& layout, std::uint64_t seed) {
  std::vector<float> parameters(static_cast<std::size_t>(AdapterSize(layout)), 0.0f);
  SplitMix64 stream(seed);
  for (const AdapterTensor& tensor : layout) {
    if (!tensor.is_a) continue;
    const double bound = 1.0 / std::sqrt(static_cast<double>(tensor.columns));
    for (std::int64_t i = 0; i < tensor.rows * tensor.columns; ++i) {
      parameters[static_cast<std::size_t>(tensor.offset + i)] =
          static_cast<float>((2.0 * stream.NextUnit() - 1.0) * bound);
    }
  }
  return parameters;
}

}  // namespace cloister::model
