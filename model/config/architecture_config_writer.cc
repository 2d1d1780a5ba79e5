#include <algorithm>
#include <string>

#include "model/architecture.h"
#include "model/config/rope_config.h"

namespace cloister::model {
namespace {

using base::Code;
using nlohmann::ordered_json;

// A model_type of transformers and its class.
struct ModelType {
  const char* name;
  const char* architecture;
};

tl::unexpected<base::Error> CannotDescribe(const std::string& what) {
  return base::Fail(Code::kUnimplemented, "no config.json of transformers describes " + what +
                                              ": keep the model as it is");
}

base::Result<ModelType> LatentModelType(const Architecture& a) {
  if (!a.experts || a.experts->gate == Experts::Gate::kSigmoid) {
    return ModelType{"deepseek_v3", "DeepseekV3ForCausalLM"};
  }
  if (a.experts->normalize || a.experts->correction_bias ||
      a.rope.layout != Rope::Layout::kInterleaved) {
    return CannotDescribe("softmax experts with normalized weights, a correction bias or halves");
  }
  return ModelType{"deepseek_v2", "DeepseekV2ForCausalLM"};
}

// The model_type whose configuration can say all of this.
base::Result<ModelType> ModelTypeOf(const Architecture& a) {
  if (a.latent) return LatentModelType(a);
  if (a.experts) return CannotDescribe("experts without latent attention");
  if (a.rope.layout != Rope::Layout::kHalves) {
    return CannotDescribe("interleaved rotary pairs without latent attention");
  }
  const bool slides = !a.sliding_layers.empty();
  const bool all_slide = slides && std::all_of(a.sliding_layers.begin(), a.sliding_layers.end(),
                                               [](bool s) { return s; });
  if (a.qk_norm) {
    if (a.mlp_bias || a.qkv_bias != a.attention_output_bias) {
      return CannotDescribe("q/k norms with these biases");
    }
    return ModelType{"qwen3", "Qwen3ForCausalLM"};
  }
  if (a.qkv_bias && !a.attention_output_bias && !a.mlp_bias) {
    return ModelType{"qwen2", "Qwen2ForCausalLM"};
  }
  if (a.qkv_bias != a.attention_output_bias) return CannotDescribe("a bias on o_proj alone");
  if (!slides) return ModelType{"llama", "LlamaForCausalLM"};
  if (all_slide && !a.qkv_bias && !a.mlp_bias) return ModelType{"mistral", "MistralForCausalLM"};
  return CannotDescribe("sliding windows on some layers without biases on q, k and v");
}

void AddGroupedAttention(const Architecture& a, const std::string& type, ordered_json& config) {
  config["head_dim"] = a.head_dim;
  if (type == "llama" || type == "qwen3") config["attention_bias"] = a.qkv_bias;
  if (type == "llama") config["mlp_bias"] = a.mlp_bias;
  if (type == "llama") return;
  const bool slides = !a.sliding_layers.empty();
  config["sliding_window"] = nullptr;
  if (slides) config["sliding_window"] = a.sliding_window;
  if (type == "mistral") return;
  config["use_sliding_window"] = slides;
  // The layers from the first that slides on, for readers older than layer_types.
  const auto first = std::find(a.sliding_layers.begin(), a.sliding_layers.end(), true);
  config["max_window_layers"] = slides ? first - a.sliding_layers.begin() : a.num_layers;
  config["layer_types"] = ordered_json::array();
  for (std::int64_t layer = 0; layer < a.num_layers; ++layer) {
    config["layer_types"].push_back(a.window_of(layer) > 0 ? "sliding_attention"
                                                           : "full_attention");
  }
}

void AddLatentAttention(const Architecture& a, const std::string& type, ordered_json& config) {
  const LatentAttention& latent = *a.latent;
  config["q_lora_rank"] = nullptr;
  if (latent.query_rank > 0) config["q_lora_rank"] = latent.query_rank;
  config["kv_lora_rank"] = latent.kv_rank;
  config["qk_nope_head_dim"] = latent.nope_dim;
  config["qk_rope_head_dim"] = latent.rope_dim;
  config["v_head_dim"] = latent.value_dim;
  config["attention_bias"] = a.qkv_bias;
  if (type == "deepseek_v3") {
    config["rope_interleave"] = a.rope.layout == Rope::Layout::kInterleaved;
  }
}

// first_k_dense_replace says which layers are dense; others than the first ones it cannot.
base::Status AddExperts(const Architecture& a, const std::string& type, ordered_json& config) {
  const auto first = std::find(a.expert_layers.begin(), a.expert_layers.end(), true);
  if (std::find(first, a.expert_layers.end(), false) != a.expert_layers.end()) {
    return CannotDescribe("dense layers after those with experts");
  }
  // A dense network is one whose experts would start behind the last layer.
  const Experts experts = a.experts.value_or(Experts{.count = 1, .per_token = 1});
  config["first_k_dense_replace"] =
      a.experts ? first - a.expert_layers.begin() : std::ptrdiff_t{a.num_layers};
  config["n_routed_experts"] = experts.count;
  config["num_experts_per_tok"] = experts.per_token;
  config["moe_intermediate_size"] = std::max<std::int64_t>(experts.intermediate_size, 1);
  config["n_shared_experts"] = experts.shared;
  config["routed_scaling_factor"] = experts.scale;
  config["norm_topk_prob"] = experts.normalize;
  config["n_group"] = experts.groups;
  config["topk_group"] = experts.groups_per_token;
  const bool v3 = type == "deepseek_v3";
  config["scoring_func"] = v3 ? "sigmoid" : "softmax";
  config["topk_method"] = v3 ? "noaux_tc" : experts.groups > 1 ? "group_limited_greedy" : "greedy";
  return {};
}

}  // namespace

base::Result<ordered_json> ConfigFromArchitecture(const Architecture& a) {
  CLOISTER_ASSIGN_OR_RETURN(const ModelType type, ModelTypeOf(a));
  ordered_json config = {
      {"architectures", ordered_json::array({type.architecture})},
      {"model_type", type.name},
      {"vocab_size", a.vocab_size},
      {"hidden_size", a.hidden_size},
      {"intermediate_size", a.intermediate_size},
      {"num_hidden_layers", a.num_layers},
      {"num_attention_heads", a.num_heads},
      {"num_key_value_heads", a.num_kv_heads},
      {"hidden_act", "silu"},
      {"max_position_embeddings", a.max_positions},
      {"rms_norm_eps", a.rms_norm_eps},
      {"tie_word_embeddings", a.tie_word_embeddings},
  };
  if (a.latent) {
    AddLatentAttention(a, type.name, config);
    CLOISTER_RETURN_IF_ERROR(AddExperts(a, type.name, config));
  } else {
    AddGroupedAttention(a, type.name, config);
  }
  CLOISTER_RETURN_IF_ERROR(AddRope(a.rope, config));
  config["bos_token_id"] = nullptr;
  if (a.bos_token_id >= 0) config["bos_token_id"] = a.bos_token_id;
  config["eos_token_id"] = nullptr;
  if (a.eos_token_ids.size() == 1) config["eos_token_id"] = a.eos_token_ids[0];
  if (a.eos_token_ids.size() > 1) config["eos_token_id"] = a.eos_token_ids;
  return config;
}

}  // namespace cloister::model
