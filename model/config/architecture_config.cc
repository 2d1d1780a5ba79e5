// Hugging Face's config.json, the one place that knows model families. Field names, defaults and
// meanings are those of transformers' configuration classes, in the spellings of version 4 and 5.
#include <array>
#include <limits>
#include <string>
#include <string_view>

#include "model/architecture.h"
#include "model/config/config_families.h"
#include "model/config/config_fields.h"
#include "model/config/fp8_config.h"
#include "model/config/rope_config.h"

namespace cloister::model {
namespace {

using base::Code;
using nlohmann::json;

base::Result<Family> ReadFamily(ConfigFields& fields) {
  static constexpr std::array<std::pair<std::string_view, Family>, 6> kFamilies = {
      {{"llama", Family::kLlama},
       {"mistral", Family::kMistral},
       {"qwen2", Family::kQwen2},
       {"qwen3", Family::kQwen3},
       {"deepseek_v2", Family::kDeepSeekV2},
       {"deepseek_v3", Family::kDeepSeekV3}}};
  CLOISTER_ASSIGN_OR_RETURN(const auto name, fields.String("model_type"));
  if (!name) return base::Fail(Code::kDataLoss, "field model_type is missing");
  for (const auto& [family, value] : kFamilies) {
    if (family == *name) return value;
  }
  return base::Fail(Code::kUnimplemented,
                    "model_type '" + *name +
                        "' is not supported: llama, mistral, qwen2, qwen3, deepseek_v2 and "
                        "deepseek_v3 are");
}

base::Status ReadSizes(ConfigFields& fields, Architecture& a) {
  CLOISTER_ASSIGN_OR_RETURN(a.vocab_size, fields.RequiredInteger("vocab_size"));
  CLOISTER_ASSIGN_OR_RETURN(a.hidden_size, fields.RequiredInteger("hidden_size"));
  CLOISTER_ASSIGN_OR_RETURN(a.intermediate_size, fields.RequiredInteger("intermediate_size"));
  CLOISTER_ASSIGN_OR_RETURN(a.num_layers, fields.RequiredInteger("num_hidden_layers"));
  CLOISTER_ASSIGN_OR_RETURN(a.num_heads, fields.RequiredInteger("num_attention_heads"));
  CLOISTER_ASSIGN_OR_RETURN(const auto kv_heads, fields.Integer("num_key_value_heads"));
  a.num_kv_heads = kv_heads.value_or(a.num_heads);
  CLOISTER_ASSIGN_OR_RETURN(a.max_positions, fields.RequiredInteger("max_position_embeddings"));
  CLOISTER_ASSIGN_OR_RETURN(const auto activation, fields.String("hidden_act"));
  if (activation.value_or("silu") != "silu" && *activation != "swish") {
    return base::Fail(Code::kUnimplemented,
                      "hidden_act '" + *activation + "' is not supported: use a model with silu");
  }
  return Demand(fields, "rope_interleaved", false);
}

}  // namespace

base::Status Demand(ConfigFields& fields, const std::string& name, bool value) {
  CLOISTER_ASSIGN_OR_RETURN(const auto found, fields.Bool(name));
  if (!found || *found == value) return {};
  return base::Fail(Code::kUnimplemented, "field " + name + " is " + (*found ? "true" : "false") +
                                              ", which is not supported: use another model");
}

tl::unexpected<base::Error> Contradiction(const std::string& what) {
  return base::Fail(Code::kDataLoss, what + ": correct the config or fetch the model again");
}

base::Result<std::vector<std::int64_t>> EosTokenIds(const json& config) {
  std::vector<std::int64_t> ids;
  const auto found = config.find("eos_token_id");
  if (found == config.end() || found->is_null()) return ids;
  const json list = found->is_array() ? *found : json::array({*found});
  for (const json& id : list) {
    if (!id.is_number_integer() || id < 0 || id > std::numeric_limits<std::int32_t>::max()) {
      return base::Fail(Code::kDataLoss,
                        "field eos_token_id must be a token id or a list of token ids");
    }
    ids.push_back(id.get<std::int64_t>());
  }
  return ids;
}

base::Result<Architecture> ArchitectureFromConfig(const json& config) {
  if (!config.is_object()) return base::Fail(Code::kDataLoss, "the config is no JSON object");
  ConfigFields fields(config);
  IgnoreFieldsWithoutEffect(fields);
  if (base::Result<std::optional<Fp8Config>> fp8 = Fp8FromConfig(config); !fp8) {
    return base::Forward(std::move(fp8));
  }
  Architecture a;
  CLOISTER_ASSIGN_OR_RETURN(const Family family, ReadFamily(fields));
  CLOISTER_RETURN_IF_ERROR(ReadSizes(fields, a));
  CLOISTER_ASSIGN_OR_RETURN(a.rope, RopeFromConfig(fields, a.max_positions));
  if (family == Family::kDeepSeekV2 || family == Family::kDeepSeekV3) {
    CLOISTER_RETURN_IF_ERROR(ReadLatentAttention(fields, family, a));
    CLOISTER_RETURN_IF_ERROR(ReadExperts(fields, family, a));
  } else {
    CLOISTER_RETURN_IF_ERROR(ReadGroupedAttention(fields, family, a));
  }
  CLOISTER_ASSIGN_OR_RETURN(const auto epsilon, fields.Number("rms_norm_eps"));
  a.rms_norm_eps = epsilon.value_or(1e-6);  // the default of all of them
  CLOISTER_ASSIGN_OR_RETURN(const auto tied, fields.Bool("tie_word_embeddings"));
  a.tie_word_embeddings = tied.value_or(false);
  CLOISTER_ASSIGN_OR_RETURN(const auto bos, fields.Integer("bos_token_id"));
  a.bos_token_id = bos.value_or(-1);
  fields.Ignore("eos_token_id");
  CLOISTER_ASSIGN_OR_RETURN(a.eos_token_ids, EosTokenIds(config));
  CLOISTER_RETURN_IF_ERROR(fields.RefuseUnknown());
  CLOISTER_RETURN_IF_ERROR(Validate(a));
  return a;
}

}  // namespace cloister::model
