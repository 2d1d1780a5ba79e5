#include "model/config/rope_config.h"

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace cloister::model {
namespace {

using base::Code;
using nlohmann::json;

tl::unexpected<base::Error> Differ(const std::string& one, const std::string& other) {
  return base::Fail(Code::kDataLoss,
                    "fields " + one + " and " + other + " differ: remove the wrong one");
}

base::Result<json> ObjectOf(ConfigFields& config, const std::string& name) {
  json value = config.Value(name);
  if (value.is_null()) return json::object();
  if (!value.is_object()) {
    return base::Fail(Code::kDataLoss, "field " + name + " must be an object");
  }
  return value;
}

// rope_parameters, else rope_scaling. Where a config has both, they must agree.
base::Result<json> RopeObject(ConfigFields& config) {
  CLOISTER_ASSIGN_OR_RETURN(json parameters, ObjectOf(config, "rope_parameters"));
  CLOISTER_ASSIGN_OR_RETURN(json scaling, ObjectOf(config, "rope_scaling"));
  for (const auto& [name, value] : scaling.items()) {
    const auto found = parameters.find(name);
    if (found == parameters.end()) {
      parameters[name] = value;
    } else if (*found != value) {
      return Differ("rope_parameters." + name, "rope_scaling." + name);
    }
  }
  return parameters;
}

base::Result<Rope::Type> ReadType(ConfigFields& fields) {
  CLOISTER_ASSIGN_OR_RETURN(const auto new_type, fields.String("rope_type"));
  CLOISTER_ASSIGN_OR_RETURN(const auto old_type, fields.String("type"));
  if (new_type && old_type && *new_type != *old_type) {
    return Differ("rope_type", "type");
  }
  const std::string type = new_type.value_or(old_type.value_or("default"));
  if (type == "default") return Rope::Type::kDefault;
  if (type == "linear") return Rope::Type::kLinear;
  if (type == "dynamic") return Rope::Type::kDynamic;
  if (type == "llama3") return Rope::Type::kLlama3;
  if (type == "yarn") return Rope::Type::kYarn;
  return base::Fail(
      Code::kUnimplemented,
      "rope_type '" + type + "' is not supported: default, linear, dynamic, llama3 and yarn are");
}

base::Result<double> Required(ConfigFields& fields, const std::string& name) {
  CLOISTER_ASSIGN_OR_RETURN(const auto value, fields.Number(name));
  if (value) return *value;
  return base::Fail(Code::kDataLoss, "field rope_parameters." + name + " is missing");
}

base::Status ReadYarn(ConfigFields& fields, std::int64_t max_positions, Rope& rope) {
  CLOISTER_ASSIGN_OR_RETURN(const auto fast, fields.Number("beta_fast"));
  CLOISTER_ASSIGN_OR_RETURN(const auto slow, fields.Number("beta_slow"));
  CLOISTER_ASSIGN_OR_RETURN(const auto truncate, fields.Bool("truncate"));
  CLOISTER_ASSIGN_OR_RETURN(const auto mscale, fields.Number("mscale"));
  CLOISTER_ASSIGN_OR_RETURN(const auto mscale_all_dim, fields.Number("mscale_all_dim"));
  CLOISTER_ASSIGN_OR_RETURN(const auto attention_factor, fields.Number("attention_factor"));
  CLOISTER_ASSIGN_OR_RETURN(const auto factor, fields.Number("factor"));
  if (fast.value_or(0) != 0) rope.beta_fast = *fast;  // transformers reads 0 as absent
  if (slow.value_or(0) != 0) rope.beta_slow = *slow;
  rope.truncate = truncate.value_or(true);
  rope.mscale = mscale.value_or(0.0);
  rope.mscale_all_dim = mscale_all_dim.value_or(0.0);
  if (attention_factor && !(*attention_factor > 0)) {
    return base::Fail(Code::kDataLoss, "field rope_parameters.attention_factor must be above 0");
  }
  rope.attention_factor = attention_factor.value_or(0.0);
  rope.factor = factor.value_or(static_cast<double>(max_positions) /
                                static_cast<double>(rope.original_max_positions));
  return {};
}

base::Status ReadScaling(ConfigFields& config, ConfigFields& fields, std::int64_t max_positions,
                         Rope& rope) {
  CLOISTER_ASSIGN_OR_RETURN(const auto outer, config.Integer("original_max_position_embeddings"));
  CLOISTER_ASSIGN_OR_RETURN(const auto inner, fields.Integer("original_max_position_embeddings"));
  if (outer && inner && *outer != *inner) {
    return Differ("original_max_position_embeddings",
                  "rope_parameters.original_max_position_embeddings");
  }
  const std::int64_t original = outer.value_or(inner.value_or(max_positions));
  if (original < 1) {
    return base::Fail(Code::kDataLoss, "field original_max_position_embeddings must be at least 1");
  }
  switch (rope.type) {
    case Rope::Type::kDefault:
    case Rope::Type::kDivisors:
      return {};
    case Rope::Type::kYarn:
      rope.original_max_positions = original;
      return ReadYarn(fields, max_positions, rope);
    case Rope::Type::kDynamic:
      rope.original_max_positions = max_positions;
      break;
    case Rope::Type::kLlama3: {
      rope.original_max_positions = original;
      CLOISTER_ASSIGN_OR_RETURN(rope.low_freq_factor, Required(fields, "low_freq_factor"));
      CLOISTER_ASSIGN_OR_RETURN(rope.high_freq_factor, Required(fields, "high_freq_factor"));
      break;
    }
    case Rope::Type::kLinear:
      break;
  }
  CLOISTER_ASSIGN_OR_RETURN(rope.factor, Required(fields, "factor"));
  return {};
}

}  // namespace

base::Result<Rope> RopeFromConfig(ConfigFields& config, std::int64_t max_positions) {
  CLOISTER_ASSIGN_OR_RETURN(const json object, RopeObject(config));
  ConfigFields fields(object);
  Rope rope;
  CLOISTER_ASSIGN_OR_RETURN(const auto outer_theta, config.Number("rope_theta"));
  CLOISTER_ASSIGN_OR_RETURN(const auto inner_theta, fields.Number("rope_theta"));
  if (outer_theta && inner_theta && *outer_theta != *inner_theta) {
    return Differ("rope_theta", "rope_parameters.rope_theta");
  }
  rope.theta = inner_theta.value_or(outer_theta.value_or(rope.theta));
  CLOISTER_ASSIGN_OR_RETURN(const auto partial, config.Number("partial_rotary_factor"));
  CLOISTER_ASSIGN_OR_RETURN(const auto inner_partial, fields.Number("partial_rotary_factor"));
  if (inner_partial.value_or(1.0) != 1.0 || partial.value_or(1.0) != 1.0) {
    return base::Fail(Code::kUnimplemented,
                      "partial_rotary_factor other than 1 is not supported: use a model whose "
                      "heads are rotated whole");
  }
  CLOISTER_ASSIGN_OR_RETURN(rope.type, ReadType(fields));
  CLOISTER_RETURN_IF_ERROR(ReadScaling(config, fields, max_positions, rope));
  // Parameters of other types change nothing in this one.
  static constexpr std::array<std::string_view, 11> kOfOtherTypes = {
      "factor",
      "low_freq_factor",
      "high_freq_factor",
      "beta_fast",
      "beta_slow",
      "truncate",
      "mscale",
      "mscale_all_dim",
      "attention_factor",
      "finetuned",
      "original_max_position_embeddings"};
  fields.Ignore(kOfOtherTypes);
  CLOISTER_RETURN_IF_ERROR(fields.RefuseUnknown("rope_parameters."));
  return rope;
}

base::Status AddRope(const Rope& rope, nlohmann::ordered_json& config) {
  nlohmann::ordered_json scaling;
  const auto add_factor = [&](const char* type, bool context) {
    scaling["rope_type"] = type;
    scaling["factor"] = rope.factor;
    if (context) scaling["original_max_position_embeddings"] = rope.original_max_positions;
  };
  switch (rope.type) {
    case Rope::Type::kDivisors:
      return base::Fail(Code::kUnimplemented,
                        "this model's rope_freqs.weight is no llama3 ramp, which a config.json "
                        "cannot express: keep the model as GGUF");
    case Rope::Type::kDefault:
      scaling["rope_type"] = "default";
      break;
    case Rope::Type::kLinear:
      add_factor("linear", false);
      break;
    case Rope::Type::kDynamic:
      add_factor("dynamic", false);
      break;
    case Rope::Type::kLlama3:
      add_factor("llama3", true);
      scaling["low_freq_factor"] = rope.low_freq_factor;
      scaling["high_freq_factor"] = rope.high_freq_factor;
      break;
    case Rope::Type::kYarn:
      add_factor("yarn", true);
      scaling["beta_fast"] = rope.beta_fast;
      scaling["beta_slow"] = rope.beta_slow;
      if (!rope.truncate) scaling["truncate"] = false;
      if (rope.mscale > 0) scaling["mscale"] = rope.mscale;
      if (rope.mscale_all_dim > 0) scaling["mscale_all_dim"] = rope.mscale_all_dim;
      if (rope.attention_factor > 0) scaling["attention_factor"] = rope.attention_factor;
      break;
  }
  config["rope_theta"] = rope.theta;
  if (rope.type != Rope::Type::kDefault) {
    config["rope_scaling"] = scaling;
    config["rope_scaling"]["type"] = scaling["rope_type"];  // spelt so before transformers 4.43
  }
  scaling["rope_theta"] = rope.theta;
  config["rope_parameters"] = std::move(scaling);
  return {};
}

}  // namespace cloister::model
