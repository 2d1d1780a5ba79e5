#include "model/adapter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <set>

#include "base/check.h"

namespace cloister::model {
namespace {

using base::Code;

constexpr std::int64_t kMaxRank = 4096;

struct Projection {
  const char* name;
  const char* block;
  std::int64_t out = 0;
  std::int64_t in = 0;
};

std::optional<Projection> FindProjection(const std::string& name, const Architecture& a) {
  const std::array<Projection, 7> all = {{
      {"q_proj", "self_attn", a.query_size(), a.hidden_size},
      {"k_proj", "self_attn", a.kv_size(), a.hidden_size},
      {"v_proj", "self_attn", a.kv_size(), a.hidden_size},
      {"o_proj", "self_attn", a.hidden_size, a.query_size()},
      {"gate_proj", "mlp", a.intermediate_size, a.hidden_size},
      {"up_proj", "mlp", a.intermediate_size, a.hidden_size},
      {"down_proj", "mlp", a.hidden_size, a.intermediate_size},
  }};
  for (const Projection& projection : all) {
    if (projection.name == name) return projection;
  }
  return std::nullopt;
}

// SplitMix64 (Steele, Lea, Flood 2014): a public stream, the same on every machine.
class SplitMix64 {
 public:
  explicit SplitMix64(std::uint64_t seed) : state_(seed) {}

  std::uint64_t Next() {
    state_ += 0x9e3779b97f4a7c15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  // Uniform in [0, 1), 53 bits.
  double NextUnit() { return static_cast<double>(Next() >> 11) * 0x1p-53; }

 private:
  std::uint64_t state_;
};

}  // namespace

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
  if (config.targets.empty()) {
    return base::Fail(Code::kInvalidArgument,
                      "LoRA targets are empty: name at least one of q_proj, "
                      "k_proj, v_proj, o_proj, gate_proj, up_proj, "
                      "down_proj");
  }
  std::set<std::string> seen;
  for (const std::string& target : config.targets) {
    if (!FindProjection(target, architecture)) {
      return base::Fail(Code::kInvalidArgument, "LoRA target '" + target +
                                                    "' is no projection of this network: use "
                                                    "q_proj, k_proj, v_proj, o_proj, gate_proj, "
                                                    "up_proj, down_proj");
    }
    if (!seen.insert(target).second) {
      return base::Fail(Code::kInvalidArgument,
                        "LoRA target '" + target + "' is listed twice: name it once");
    }
  }
  if (config.first_layer < 0 || config.first_layer >= architecture.num_layers) {
    return base::Fail(Code::kInvalidArgument, "LoRA first layer is " +
                                                  std::to_string(config.first_layer) +
                                                  ": choose one of the model's layers 0 … " +
                                                  std::to_string(architecture.num_layers - 1));
  }
  return {};
}

std::vector<AdapterTensor> AdapterLayout(const LoraConfig& config,
                                         const Architecture& architecture) {
  std::vector<AdapterTensor> layout;
  std::int64_t offset = 0;
  const auto add = [&](const std::string& module, bool is_a, std::int64_t rows, std::int64_t cols) {
    const std::string name =
        "base_model.model." + module + (is_a ? ".lora_A.weight" : ".lora_B.weight");
    layout.push_back({name, module + ".weight", is_a, rows, cols, offset});
    offset += rows * cols;
  };
  for (std::int64_t layer = config.first_layer; layer < architecture.num_layers; ++layer) {
    for (const std::string& target : config.targets) {
      const std::optional<Projection> projection = FindProjection(target, architecture);
      CLOISTER_CHECK(projection.has_value());  // Validate comes first
      const std::string module = "model.layers." + std::to_string(layer) + "." + projection->block +
                                 "." + projection->name;
      add(module, true, config.rank, projection->in);
      add(module, false, projection->out, config.rank);
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
