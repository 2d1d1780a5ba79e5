#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "model/config/config_families.h"

namespace cloister::model {
namespace {

using base::Code;

// Which layers are mixtures: all from first_k_dense_replace on, every moe_layer_freq-th.
base::Status ReadExpertLayers(ConfigFields& fields, Architecture& a) {
  CLOISTER_ASSIGN_OR_RETURN(const auto dense, fields.Integer("first_k_dense_replace"));
  CLOISTER_ASSIGN_OR_RETURN(const auto every, fields.Integer("moe_layer_freq"));
  CLOISTER_ASSIGN_OR_RETURN(const auto types, fields.Strings("mlp_layer_types"));
  if (dense.value_or(0) < 0) return Contradiction("first_k_dense_replace is negative");
  if (every.value_or(1) != 1) {
    return base::Fail(Code::kUnimplemented,
                      "moe_layer_freq other than 1 is not supported: use another model");
  }
  if (a.num_layers < 1 || a.num_layers > (1 << 12)) return {};  // Validate will say so
  for (std::int64_t layer = 0; layer < a.num_layers; ++layer) {
    a.expert_layers.push_back(layer >= dense.value_or(0));
  }
  if (!types) return {};
  for (std::size_t i = 0; i < types->size(); ++i) {
    if (i < a.expert_layers.size() && (*types)[i] == (a.expert_layers[i] ? "sparse" : "dense")) {
      continue;
    }
    return Contradiction("mlp_layer_types and first_k_dense_replace differ");
  }
  return {};
}

base::Status ReadChoice(ConfigFields& fields, bool v3, Experts& experts) {
  CLOISTER_ASSIGN_OR_RETURN(const auto scoring, fields.String("scoring_func"));
  CLOISTER_ASSIGN_OR_RETURN(const auto method, fields.String("topk_method"));
  const std::string gate = v3 ? "sigmoid" : "softmax";
  if (scoring.value_or(gate) != gate) {
    return Contradiction("scoring_func '" + *scoring + "' does not exist in this model_type");
  }
  const std::string chosen = method.value_or(v3 ? "noaux_tc" : "greedy");
  const bool known =
      v3 ? chosen == "noaux_tc" : chosen == "greedy" || chosen == "group_limited_greedy";
  if (!known) {
    return Contradiction("topk_method '" + chosen + "' does not exist in this model_type");
  }
  experts.gate = v3 ? Experts::Gate::kSigmoid : Experts::Gate::kSoftmax;
  experts.group_score = v3 ? Experts::GroupScore::kTwoBest : Experts::GroupScore::kBest;
  experts.correction_bias = v3;
  CLOISTER_ASSIGN_OR_RETURN(const auto groups, fields.Integer("n_group"));
  CLOISTER_ASSIGN_OR_RETURN(const auto groups_per_token, fields.Integer("topk_group"));
  if (chosen == "greedy") return {};
  experts.groups = groups.value_or(v3 && !fields.Has("n_group") ? 8 : 1);
  experts.groups_per_token = groups_per_token.value_or(v3 && !fields.Has("topk_group") ? 4 : 1);
  return {};
}

}  // namespace

base::Status ReadExperts(ConfigFields& fields, Family family, Architecture& a) {
  static constexpr std::array<std::string_view, 3> kCounts = {"n_routed_experts", "num_experts",
                                                              "num_local_experts"};
  const bool v3 = family == Family::kDeepSeekV3;
  CLOISTER_ASSIGN_OR_RETURN(const auto count, fields.IntegerOf(kCounts));
  CLOISTER_ASSIGN_OR_RETURN(const auto shared, fields.Integer("n_shared_experts"));
  CLOISTER_ASSIGN_OR_RETURN(const auto size, fields.Integer("moe_intermediate_size"));
  CLOISTER_ASSIGN_OR_RETURN(const auto per_token, fields.Integer("num_experts_per_tok"));
  CLOISTER_ASSIGN_OR_RETURN(const auto scale, fields.Number("routed_scaling_factor"));
  CLOISTER_ASSIGN_OR_RETURN(const auto normalize, fields.Bool("norm_topk_prob"));
  Experts experts;
  CLOISTER_RETURN_IF_ERROR(ReadChoice(fields, v3, experts));
  CLOISTER_RETURN_IF_ERROR(ReadExpertLayers(fields, a));
  if (!count) {  // DeepSeek's own code: a dense network
    a.expert_layers.clear();
    return {};
  }
  if (!size || !per_token) {
    return Contradiction("n_routed_experts needs moe_intermediate_size and num_experts_per_tok");
  }
  experts.count = *count;
  experts.per_token = *per_token;
  experts.intermediate_size = *size;
  experts.shared = shared.value_or(0);
  experts.scale = scale.value_or(v3 ? 2.5 : 1.0);
  // transformers' deepseek_v2 never divides by the sum, whatever the config says.
  experts.normalize = v3 && normalize.value_or(true);
  if (std::none_of(a.expert_layers.begin(), a.expert_layers.end(), [](bool e) { return e; })) {
    a.expert_layers.clear();
    return {};
  }
  a.experts = experts;
  return {};
}

}  // namespace cloister::model
