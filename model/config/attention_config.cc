#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "model/config/config_families.h"

namespace cloister::model {
namespace {

using base::Code;

base::Status ReadHeadDim(ConfigFields& fields, Family family, Architecture& a) {
  CLOISTER_ASSIGN_OR_RETURN(const auto head_dim, fields.Integer("head_dim"));
  if (head_dim) {
    a.head_dim = *head_dim;
    return {};
  }
  if (family == Family::kQwen3) {
    a.head_dim = 128;  // Qwen3Config's default, whatever the other sizes are
    return {};
  }
  if (a.num_heads < 1 || a.hidden_size % a.num_heads != 0) {
    return Contradiction(
        "hidden_size is no multiple of num_attention_heads and head_dim is missing");
  }
  a.head_dim = a.hidden_size / a.num_heads;
  return {};
}

// A null window is none; where the field is missing it is the families' default, 4096. The layers
// that layer_types, or use_sliding_window and max_window_layers, let slide.
base::Status ReadWindow(ConfigFields& fields, Family family, Architecture& a) {
  CLOISTER_ASSIGN_OR_RETURN(auto window, fields.Integer("sliding_window"));
  if (family != Family::kLlama && !fields.Has("sliding_window")) window = 4096;
  CLOISTER_ASSIGN_OR_RETURN(const auto use, fields.Bool("use_sliding_window"));
  CLOISTER_ASSIGN_OR_RETURN(const auto from, fields.Integer("max_window_layers"));
  CLOISTER_ASSIGN_OR_RETURN(const auto types, fields.Strings("layer_types"));
  if (a.num_layers < 1 || a.num_layers > (1 << 12)) return {};  // Validate will say so
  const auto layers = static_cast<std::size_t>(a.num_layers);
  std::vector<bool> sliding(layers, false);
  if (types) {
    if (types->size() != layers) {
      return Contradiction("layer_types does not name num_hidden_layers layers");
    }
    for (std::size_t i = 0; i < layers; ++i) {
      if ((*types)[i] != "full_attention" && (*types)[i] != "sliding_attention") {
        return base::Fail(Code::kUnimplemented,
                          "layer_types '" + (*types)[i] +
                              "' is not supported: full_attention and sliding_attention are");
      }
      sliding[i] = (*types)[i] == "sliding_attention";
    }
  } else if (family == Family::kMistral) {
    sliding.assign(layers, window.has_value());
  } else if (family != Family::kLlama && use.value_or(false)) {
    for (std::size_t i = 0; i < layers; ++i) {
      sliding[i] = static_cast<std::int64_t>(i) >= from.value_or(28);
    }
  }
  if (family == Family::kMistral && types) {  // its readers look at sliding_window alone
    const std::vector<bool> all(layers, window.has_value());
    if (sliding != all) {
      return Contradiction("layer_types and sliding_window differ");
    }
  }
  if (std::none_of(sliding.begin(), sliding.end(), [](bool slides) { return slides; })) return {};
  if (family == Family::kLlama) {
    return base::Fail(Code::kUnimplemented,
                      "layer_types 'sliding_attention' is not supported in model_type llama");
  }
  const bool silenced =
      (family == Family::kQwen2 || family == Family::kQwen3) && !use.value_or(false);
  if (!window || silenced) {
    return Contradiction(
        "layer_types asks for sliding windows that sliding_window and "
        "use_sliding_window do not give");
  }
  a.sliding_window = *window;
  a.sliding_layers = std::move(sliding);
  return {};
}

}  // namespace

base::Status ReadGroupedAttention(ConfigFields& fields, Family family, Architecture& a) {
  CLOISTER_RETURN_IF_ERROR(ReadHeadDim(fields, family, a));
  CLOISTER_RETURN_IF_ERROR(ReadWindow(fields, family, a));
  CLOISTER_RETURN_IF_ERROR(Demand(fields, "use_mrope", false));
  a.qk_norm = family == Family::kQwen3;
  if (family == Family::kQwen2) {
    a.qkv_bias = true;
    fields.Ignore("attention_bias");  // Qwen2Config has no such switch
    return Demand(fields, "mlp_bias", false);
  }
  if (family == Family::kMistral) {
    CLOISTER_RETURN_IF_ERROR(Demand(fields, "attention_bias", false));
    return Demand(fields, "mlp_bias", false);
  }
  CLOISTER_ASSIGN_OR_RETURN(const auto bias, fields.Bool("attention_bias"));
  a.qkv_bias = a.attention_output_bias = bias.value_or(false);
  if (family == Family::kQwen3) return Demand(fields, "mlp_bias", false);
  CLOISTER_ASSIGN_OR_RETURN(const auto mlp_bias, fields.Bool("mlp_bias"));
  a.mlp_bias = mlp_bias.value_or(false);
  return {};
}

base::Status ReadLatentAttention(ConfigFields& fields, Family family, Architecture& a) {
  LatentAttention latent;
  CLOISTER_ASSIGN_OR_RETURN(const auto query_rank, fields.Integer("q_lora_rank"));
  if (query_rank && *query_rank < 1) return Contradiction("q_lora_rank must be null or positive");
  latent.query_rank = query_rank.value_or(0);
  CLOISTER_ASSIGN_OR_RETURN(latent.kv_rank, fields.RequiredInteger("kv_lora_rank"));
  CLOISTER_ASSIGN_OR_RETURN(latent.nope_dim, fields.RequiredInteger("qk_nope_head_dim"));
  CLOISTER_ASSIGN_OR_RETURN(latent.rope_dim, fields.RequiredInteger("qk_rope_head_dim"));
  CLOISTER_ASSIGN_OR_RETURN(latent.value_dim, fields.RequiredInteger("v_head_dim"));
  for (const std::int64_t size : {latent.nope_dim, latent.rope_dim}) {
    if (size < 1 || size > (1 << 13)) {
      return Contradiction("qk_nope_head_dim and qk_rope_head_dim must lie in 1 … 8192");
    }
  }
  a.head_dim = latent.nope_dim + latent.rope_dim;
  CLOISTER_ASSIGN_OR_RETURN(const auto whole, fields.Integer("qk_head_dim"));
  if (whole.value_or(a.head_dim) != a.head_dim) {
    return Contradiction("qk_head_dim is not qk_nope_head_dim + qk_rope_head_dim");
  }
  fields.Ignore("head_dim");  // of the rotary part
  CLOISTER_ASSIGN_OR_RETURN(const auto interleave, fields.Bool("rope_interleave"));
  if (family == Family::kDeepSeekV2 && !interleave.value_or(true)) {
    return Contradiction("rope_interleave false does not exist in model_type deepseek_v2");
  }
  a.rope.layout = interleave.value_or(true) ? Rope::Layout::kInterleaved : Rope::Layout::kHalves;
  CLOISTER_ASSIGN_OR_RETURN(const auto bias, fields.Bool("attention_bias"));
  a.qkv_bias = a.attention_output_bias = bias.value_or(false);
  CLOISTER_ASSIGN_OR_RETURN(const auto mlp_bias, fields.Bool("mlp_bias"));
  if (mlp_bias.value_or(false)) {
    return base::Fail(Code::kUnimplemented, "mlp_bias true is not supported beside experts");
  }
  a.latent = latent;
  return {};
}

}  // namespace cloister::model
