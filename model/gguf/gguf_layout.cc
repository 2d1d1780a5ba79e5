#include "model/gguf/gguf_layout.h"

#include <array>
#include <cstring>
#include <map>
#include <utility>

#include "base/check.h"
#include "model/model_files.h"

namespace cloister::model {
namespace {

using Pair = std::pair<std::string_view, std::string_view>;  // Hugging Face, GGUF

constexpr std::array<Pair, 3> kOuter = {{{"model.embed_tokens.weight", "token_embd.weight"},
                                         {"model.norm.weight", "output_norm.weight"},
                                         {"lm_head.weight", "output.weight"}}};

// Modules of a layer; .weight and .bias follow.
constexpr std::array<Pair, 23> kModules = {{
    {"input_layernorm", "attn_norm"},
    {"post_attention_layernorm", "ffn_norm"},
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"},
    {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},
    {"self_attn.q_a_proj", "attn_q_a"},
    {"self_attn.q_a_layernorm", "attn_q_a_norm"},
    {"self_attn.q_b_proj", "attn_q_b"},
    {"self_attn.kv_a_proj_with_mqa", "attn_kv_a_mqa"},
    {"self_attn.kv_a_layernorm", "attn_kv_a_norm"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
    {"mlp.gate", "ffn_gate_inp"},
    {"mlp.shared_experts.gate_proj", "ffn_gate_shexp"},
    {"mlp.shared_experts.up_proj", "ffn_up_shexp"},
    {"mlp.shared_experts.down_proj", "ffn_down_shexp"},
    {"mlp.experts.gate_proj", "ffn_gate_exps"},
    {"mlp.experts.up_proj", "ffn_up_exps"},
    {"mlp.experts.down_proj", "ffn_down_exps"},
}};
constexpr Pair kCorrectionBias = {"mlp.gate.e_score_correction_bias", "exp_probs_b.bias"};

std::string_view GgufModule(std::string_view module) {
  for (const Pair& pair : kModules) {
    if (pair.first == module) return pair.second;
  }
  CLOISTER_CHECK(false && "a module of ExpectedTensors");
  return {};
}

// model.layers.12.mlp.experts.3.up_proj.weight, taken apart.
struct LayerName {
  std::string layer;      // "12"
  std::string module;     // "mlp.experts.up_proj"
  std::string attribute;  // "weight"
  bool expert = false;
};

std::optional<LayerName> TakeApart(const std::string& name) {
  static constexpr std::string_view kPrefix = "model.layers.";
  static constexpr std::string_view kExperts = "mlp.experts.";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  const std::size_t dot = name.find('.', kPrefix.size());
  LayerName result;
  result.layer = name.substr(kPrefix.size(), dot - kPrefix.size());
  std::string rest = name.substr(dot + 1);
  result.expert = rest.starts_with(kExperts);
  if (result.expert)
    rest.erase(kExperts.size(), rest.find('.', kExperts.size()) - kExperts.size() + 1);
  const std::size_t last = rest.rfind('.');
  result.module = rest.substr(0, last);
  result.attribute = rest.substr(last + 1);
  return result;
}

std::optional<PairOrder> OrderOf(const Architecture& a, const std::string& module) {
  if (a.rope.layout != Rope::Layout::kHalves) return std::nullopt;
  const bool query = module == "self_attn.q_proj" || module == "self_attn.q_b_proj";
  if (!a.latent) {
    const bool rotated = query || module == "self_attn.k_proj";
    if (!rotated || GgufArchitecture(a) != "llama") return std::nullopt;
    return PairOrder{a.head_dim, 0, a.head_dim};
  }
  const LatentAttention& latent = *a.latent;
  if (query) return PairOrder{a.head_dim, latent.nope_dim, latent.rope_dim};
  if (module != "self_attn.kv_a_proj_with_mqa") return std::nullopt;
  return PairOrder{latent.kv_rank + latent.rope_dim, latent.kv_rank, latent.rope_dim};
}

std::string GgufLayer(const std::string& layer, std::string_view module,
                      std::string_view attribute) {
  return "blk." + layer + "." + std::string(module) + "." + std::string(attribute);
}

void AddKvUp(const Architecture& a, const LayerName& name, const std::string& part,
             std::vector<GgufTensor>& tensors) {
  const LatentAttention& latent = *a.latent;
  tensors.push_back({GgufLayer(name.layer, "attn_k_b", "weight"),
                     {a.num_heads, latent.kv_rank, latent.nope_dim},
                     GgufTensor::Form::kKeyUp,
                     {part},
                     std::nullopt});
  tensors.push_back({GgufLayer(name.layer, "attn_v_b", "weight"),
                     {a.num_heads, latent.value_dim, latent.kv_rank},
                     GgufTensor::Form::kValueUp,
                     {part},
                     std::nullopt});
}

std::string_view OuterName(const std::string& name) {
  for (const Pair& pair : kOuter) {
    if (pair.first == name) return pair.second;
  }
  CLOISTER_CHECK(false && "a name of ExpectedTensors");
  return {};
}

}  // namespace

std::string GgufArchitecture(const Architecture& a) {
  if (a.latent) return "deepseek2";
  if (a.qk_norm) return "qwen3";
  return a.qkv_bias && !a.attention_output_bias ? "qwen2" : "llama";
}

std::int64_t PairOrder::HalfRowOf(std::int64_t pair_row) const {
  const std::int64_t in_pairs = pair_row % head_rows - first;  // 2i + s
  if (in_pairs < 0 || in_pairs >= rows) return pair_row;
  return pair_row - in_pairs + in_pairs % 2 * (rows / 2) + in_pairs / 2;
}

std::vector<GgufTensor> GgufTensors(const Architecture& a) {
  std::vector<GgufTensor> tensors;
  std::map<std::string, std::size_t> stacks;  // GGUF's name to its place
  for (NamedShape& expected : ExpectedTensors(a)) {
    const std::optional<LayerName> name = TakeApart(expected.name);
    if (!name) {
      tensors.push_back({std::string(OuterName(expected.name)),
                         std::move(expected.shape),
                         GgufTensor::Form::kSame,
                         {expected.name},
                         std::nullopt});
      continue;
    }
    if (name->module == "self_attn.kv_b_proj") {
      AddKvUp(a, *name, expected.name, tensors);
      continue;
    }
    if (name->module + "." + name->attribute == kCorrectionBias.first) {
      tensors.push_back({"blk." + name->layer + "." + std::string(kCorrectionBias.second),
                         std::move(expected.shape),
                         GgufTensor::Form::kSame,
                         {expected.name},
                         std::nullopt});
      continue;
    }
    const std::string stored = GgufLayer(name->layer, GgufModule(name->module), name->attribute);
    if (!name->expert) {
      tensors.push_back({stored,
                         std::move(expected.shape),
                         GgufTensor::Form::kSame,
                         {expected.name},
                         OrderOf(a, name->module)});
      continue;
    }
    const auto [place, added] = stacks.emplace(stored, tensors.size());
    if (added) {
      std::vector<std::int64_t> shape = {a.experts->count, expected.shape[0], expected.shape[1]};
      tensors.push_back({stored, std::move(shape), GgufTensor::Form::kStack, {}, std::nullopt});
    }
    tensors[place->second].parts.push_back(expected.name);
  }
  return tensors;
}

std::vector<std::byte> PairRowsToHalves(const TensorView& tensor, const PairOrder& order) {
  const bool vector = tensor.shape.size() == 1;
  const std::int64_t rows = vector ? tensor.elements() : tensor.rows();
  const std::int64_t bytes = vector ? BlockBytes(tensor.type) : tensor.row_bytes();
  CLOISTER_CHECK(rows % order.head_rows == 0 && (!vector || BlockSize(tensor.type) == 1));
  std::vector<std::byte> moved(tensor.data.size());
  for (std::int64_t row = 0; row < rows; ++row) {
    std::memcpy(moved.data() + order.HalfRowOf(row) * bytes, tensor.data.data() + row * bytes,
                static_cast<std::size_t>(bytes));
  }
  return moved;
}

}  // namespace cloister::model
