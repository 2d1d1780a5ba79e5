// Hugging Face's config.json: transformers' LlamaConfig, with the rope fields in the spelling of
// version 4 (rope_theta, rope_scaling) or 5 (rope_parameters).
#include <limits>
#include <string>

#include "model/architecture.h"
#include "model/json_reader.h"

namespace cloister::model {
namespace {

using base::Code;
using nlohmann::json;

base::Status RefuseUnlessLlama(const json& config) {
  CLOISTER_ASSIGN_OR_RETURN(const std::string family, RequiredString(config, "model_type"));
  if (family != "llama") {
    return base::Fail(Code::kUnimplemented, "model_type '" + family +
                                                "' is not supported yet: use a model of the llama "
                                                "family");
  }
  for (const char* name : {"attention_bias", "mlp_bias"}) {
    CLOISTER_ASSIGN_OR_RETURN(const auto bias, OptionalBool(config, name));
    if (bias.value_or(false)) {
      return base::Fail(Code::kUnimplemented,
                        std::string(name) + " true is not supported yet: use a model without bias");
    }
  }
  CLOISTER_ASSIGN_OR_RETURN(const auto activation, OptionalString(config, "hidden_act"));
  if (activation.value_or("silu") != "silu" && *activation != "swish") {
    return base::Fail(Code::kUnimplemented, "hidden_act '" + *activation +
                                                "' is not supported yet: use a model with silu");
  }
  if (config.contains("quantization_config") && !config["quantization_config"].is_null()) {
    return base::Fail(Code::kUnimplemented,
                      "quantization_config is not supported: use the unquantized model or a GGUF");
  }
  return {};
}

// The object that holds the rope type and its parameters, or null.
base::Result<json> RopeFields(const json& config) {
  for (const char* name : {"rope_parameters", "rope_scaling"}) {
    const auto found = config.find(name);
    if (found == config.end() || found->is_null()) continue;
    if (!found->is_object()) {
      return base::Fail(Code::kDataLoss, std::string("field ") + name + " must be an object");
    }
    return *found;
  }
  return json::object();
}

base::Status ReadLlama3(const json& fields, Rope& rope) {
  rope.type = Rope::Type::kLlama3;
  CLOISTER_ASSIGN_OR_RETURN(rope.factor, RequiredNumber(fields, "factor"));
  CLOISTER_ASSIGN_OR_RETURN(rope.low_freq_factor, RequiredNumber(fields, "low_freq_factor"));
  CLOISTER_ASSIGN_OR_RETURN(rope.high_freq_factor, RequiredNumber(fields, "high_freq_factor"));
  CLOISTER_ASSIGN_OR_RETURN(rope.original_max_positions,
                            RequiredInteger(fields, "original_max_position_embeddings"));
  return {};
}

base::Result<Rope> ReadRope(const json& config) {
  CLOISTER_ASSIGN_OR_RETURN(const json fields, RopeFields(config));
  Rope rope;
  CLOISTER_ASSIGN_OR_RETURN(const auto outer_theta, OptionalNumber(config, "rope_theta"));
  CLOISTER_ASSIGN_OR_RETURN(const auto inner_theta, OptionalNumber(fields, "rope_theta"));
  rope.theta = inner_theta.value_or(outer_theta.value_or(rope.theta));
  CLOISTER_ASSIGN_OR_RETURN(const auto partial, OptionalNumber(config, "partial_rotary_factor"));
  CLOISTER_ASSIGN_OR_RETURN(const auto inner_partial,
                            OptionalNumber(fields, "partial_rotary_factor"));
  if (inner_partial.value_or(partial.value_or(1.0)) != 1.0) {
    return base::Fail(Code::kUnimplemented,
                      "partial_rotary_factor other than 1 is not supported yet");
  }
  CLOISTER_ASSIGN_OR_RETURN(const auto new_type, OptionalString(fields, "rope_type"));
  CLOISTER_ASSIGN_OR_RETURN(const auto old_type, OptionalString(fields, "type"));
  const std::string type = new_type.value_or(old_type.value_or("default"));
  if (type == "llama3") {
    CLOISTER_RETURN_IF_ERROR(ReadLlama3(fields, rope));
  } else if (type != "default") {
    return base::Fail(Code::kUnimplemented,
                      "rope_type '" + type + "' is not supported yet: default and llama3 are");
  }
  return rope;
}

base::Status ReadSizes(const json& config, Architecture& a) {
  CLOISTER_ASSIGN_OR_RETURN(a.vocab_size, RequiredInteger(config, "vocab_size"));
  CLOISTER_ASSIGN_OR_RETURN(a.hidden_size, RequiredInteger(config, "hidden_size"));
  CLOISTER_ASSIGN_OR_RETURN(a.intermediate_size, RequiredInteger(config, "intermediate_size"));
  CLOISTER_ASSIGN_OR_RETURN(a.num_layers, RequiredInteger(config, "num_hidden_layers"));
  CLOISTER_ASSIGN_OR_RETURN(a.num_heads, RequiredInteger(config, "num_attention_heads"));
  CLOISTER_ASSIGN_OR_RETURN(const auto kv_heads, OptionalInteger(config, "num_key_value_heads"));
  a.num_kv_heads = kv_heads.value_or(a.num_heads);
  CLOISTER_ASSIGN_OR_RETURN(const auto head_dim, OptionalInteger(config, "head_dim"));
  if (!head_dim && (a.num_heads < 1 || a.hidden_size % a.num_heads != 0)) {
    return base::Fail(Code::kDataLoss,
                      "hidden_size is no multiple of num_attention_heads and head_dim is missing");
  }
  a.head_dim = head_dim ? *head_dim : a.hidden_size / a.num_heads;
  CLOISTER_ASSIGN_OR_RETURN(a.max_positions, RequiredInteger(config, "max_position_embeddings"));
  return {};
}

}  // namespace

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
  CLOISTER_RETURN_IF_ERROR(RefuseUnlessLlama(config));
  Architecture a;
  CLOISTER_RETURN_IF_ERROR(ReadSizes(config, a));
  CLOISTER_ASSIGN_OR_RETURN(const auto epsilon, OptionalNumber(config, "rms_norm_eps"));
  a.rms_norm_eps = epsilon.value_or(1e-6);  // LlamaConfig's default
  CLOISTER_ASSIGN_OR_RETURN(a.rope, ReadRope(config));
  CLOISTER_ASSIGN_OR_RETURN(const auto tied, OptionalBool(config, "tie_word_embeddings"));
  a.tie_word_embeddings = tied.value_or(false);
  CLOISTER_ASSIGN_OR_RETURN(const auto bos, OptionalInteger(config, "bos_token_id"));
  a.bos_token_id = bos.value_or(-1);
  CLOISTER_ASSIGN_OR_RETURN(a.eos_token_ids, EosTokenIds(config));
  CLOISTER_RETURN_IF_ERROR(Validate(a));
  return a;
}

base::Result<nlohmann::ordered_json> ConfigFromArchitecture(const Architecture& a) {
  nlohmann::ordered_json rope = {{"rope_theta", a.rope.theta}, {"rope_type", "default"}};
  if (a.rope.type == Rope::Type::kDivisors) {
    return base::Fail(
        Code::kUnimplemented,
        "this model's rope_freqs.weight is no llama3 ramp, which a config.json cannot "
        "express: keep the model as GGUF");
  }
  nlohmann::ordered_json config = {
      {"architectures", nlohmann::ordered_json::array({"LlamaForCausalLM"})},
      {"model_type", "llama"},
      {"vocab_size", a.vocab_size},
      {"hidden_size", a.hidden_size},
      {"intermediate_size", a.intermediate_size},
      {"num_hidden_layers", a.num_layers},
      {"num_attention_heads", a.num_heads},
      {"num_key_value_heads", a.num_kv_heads},
      {"head_dim", a.head_dim},
      {"hidden_act", "silu"},
      {"attention_bias", false},
      {"mlp_bias", false},
      {"max_position_embeddings", a.max_positions},
      {"rms_norm_eps", a.rms_norm_eps},
      {"rope_theta", a.rope.theta},
      {"tie_word_embeddings", a.tie_word_embeddings},
  };
  if (a.rope.type == Rope::Type::kLlama3) {
    rope["rope_type"] = "llama3";
    rope["factor"] = a.rope.factor;
    rope["low_freq_factor"] = a.rope.low_freq_factor;
    rope["high_freq_factor"] = a.rope.high_freq_factor;
    rope["original_max_position_embeddings"] = a.rope.original_max_positions;
    config["rope_scaling"] = rope;  // for readers older than rope_parameters
    config["rope_scaling"].erase("rope_theta");
  }
  config["rope_parameters"] = rope;
  config["bos_token_id"] = nullptr;
  if (a.bos_token_id >= 0) config["bos_token_id"] = a.bos_token_id;
  config["eos_token_id"] = nullptr;
  if (a.eos_token_ids.size() == 1) config["eos_token_id"] = a.eos_token_ids[0];
  if (a.eos_token_ids.size() > 1) config["eos_token_id"] = a.eos_token_ids;
  return config;
}

}  // namespace cloister::model
