#include "model/peft/peft_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <set>
#include <string_view>

#include "model/config/json_reader.h"

namespace cloister::model {
namespace {

using base::Code;
using Json = nlohmann::json;

constexpr std::int64_t kMaxRank = 4096;
constexpr std::size_t kMaxListed = 1 << 14;

// Fields that change how an adapter is started, trained, stored or split over machines, not what a
// finished one does.
constexpr std::array<std::string_view, 19> kWithoutEffect = {
    "task_type",     "auto_mapping",      "peft_version",  "base_model_name_or_path",
    "revision",      "inference_mode",    "lora_dropout",  "megatron_core",
    "loftq_config",  "eva_config",        "corda_config",  "lora_ga_config",
    "velora_config", "runtime_config",    "merge_weights", "qalora_group_size",
    "peft_type",     "init_lora_weights", "layers_pattern"};
constexpr std::array<std::string_view, 12> kRead = {"r",
                                                    "lora_alpha",
                                                    "use_rslora",
                                                    "target_modules",
                                                    "target_parameters",
                                                    "exclude_modules",
                                                    "bias",
                                                    "layers_to_transform",
                                                    "rank_pattern",
                                                    "alpha_pattern",
                                                    "modules_to_save",
                                                    "ensure_weight_tying"};

// The field, null where it is absent.
const Json& Field(const Json& config, const std::string& name) {
  static const Json kNull;
  const auto found = config.find(name);
  return found == config.end() ? kNull : *found;
}

// Null, false and empty: a switch that is off.
bool IsOff(const Json& value) {
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  return value.is_null() || (value.is_structured() && value.empty());
}

tl::unexpected<base::Error> Malformed(const std::string& name, const std::string& wanted) {
  return base::Fail(Code::kDataLoss, "field " + name + " must be " + wanted);
}

base::Result<std::string> Text(const Json& config, const std::string& name,
                               const std::string& otherwise) {
  CLOISTER_ASSIGN_OR_RETURN(const auto text, OptionalString(config, name));
  return text.value_or(otherwise);
}

base::Result<std::int64_t> Rank(const Json& value, const std::string& name) {
  if (value.is_number_integer() && value >= 1 && value <= kMaxRank) {
    return value.get<std::int64_t>();
  }
  return Malformed(name, "a LoRA rank in 1 … " + std::to_string(kMaxRank));
}

base::Result<double> Alpha(const Json& value, const std::string& name) {
  const double alpha = value.is_number() ? value.get<double>() : 0.0;
  if (std::isfinite(alpha) && alpha > 0) return alpha;
  return Malformed(name, "a finite number above 0");
}

// Methods and variants whose adapters do something else to a layer than adding scale * B A.
base::Status RefuseVariants(const Json& config) {
  CLOISTER_ASSIGN_OR_RETURN(const std::string kind, Text(config, "peft_type", ""));
  if (kind != "LORA") {
    return base::Fail(Code::kUnimplemented, "peft_type '" + kind + "' is not supported: use LORA");
  }
  if (!IsOff(Field(config, "use_dora"))) {
    return base::Fail(Code::kUnimplemented,
                      "DoRA is not supported: use_dora is true, train the adapter without it or "
                      "merge it with PEFT");
  }
  CLOISTER_ASSIGN_OR_RETURN(const std::string bias, Text(config, "bias", "none"));
  if (bias != "none") {
    return base::Fail(Code::kUnimplemented, "bias '" + bias + "' is not supported: use none");
  }
  // PiSSA, OLoRA and their like change the base weights too.
  static constexpr std::array<std::string_view, 3> kHarmless = {"gaussian", "eva", "orthogonal"};
  if (const Json& start = Field(config, "init_lora_weights"); start.is_string()) {
    const auto name = start.get<std::string>();
    if (std::find(kHarmless.begin(), kHarmless.end(), name) == kHarmless.end()) {
      return base::Fail(Code::kUnimplemented,
                        "init_lora_weights '" + name +
                            "' changes the base model, which is not supported: convert the "
                            "adapter to plain LoRA with PEFT");
    }
  }
  for (const auto& [name, value] : config.items()) {
    if (std::find(kWithoutEffect.begin(), kWithoutEffect.end(), name) != kWithoutEffect.end()) {
      continue;
    }
    if (std::find(kRead.begin(), kRead.end(), name) != kRead.end()) continue;
    if (IsOff(value)) continue;
    return base::Fail(Code::kUnimplemented,
                      "field " + name + " is not supported: use an adapter of plain LoRA");
  }
  return {};
}

base::Result<std::vector<std::string>> Names(const Json& value, const std::string& name) {
  std::vector<std::string> names;
  if (!value.is_array() || value.size() > kMaxListed) return Malformed(name, "a list of names");
  for (const Json& item : value) {
    if (!item.is_string() || item.get_ref<const std::string&>().empty())
      return Malformed(name, "a list of names");
    names.push_back(item.get<std::string>());
  }
  return names;
}

// A list of names, or a string: an expression.
base::Result<ModuleNames> ReadModuleNames(const Json& config, const std::string& name) {
  ModuleNames modules;
  const Json& value = Field(config, name);
  if (IsOff(value)) return modules;
  if (value.is_string()) {
    modules.expression = value.get<std::string>();
    return modules;
  }
  CLOISTER_ASSIGN_OR_RETURN(modules.names, Names(value, name));
  return modules;
}

base::Status ReadTargets(const Json& config, PeftConfig& peft) {
  CLOISTER_ASSIGN_OR_RETURN(peft.targets, ReadModuleNames(config, "target_modules"));
  CLOISTER_ASSIGN_OR_RETURN(peft.excluded, ReadModuleNames(config, "exclude_modules"));
  const Json& parameters = Field(config, "target_parameters");
  if (!IsOff(parameters)) {
    CLOISTER_ASSIGN_OR_RETURN(peft.parameters, Names(parameters, "target_parameters"));
  }
  if (peft.targets.empty() && peft.parameters.empty()) {
    return Malformed("target_modules", "a list of modules or a pattern");
  }
  std::set<std::string> seen;
  for (const std::string& target : peft.targets.names) {
    if (!seen.insert(target).second) {
      return base::Fail(Code::kDataLoss,
                        "target_modules: '" + target + "' is listed twice: name it once");
    }
  }
  std::string lower = peft.targets.expression;
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (lower == "all-linear") {
    peft.targets.expression.clear();
    peft.all_linear = true;
  }
  return {};
}

base::Status ReadLayers(const Json& config, PeftConfig& peft) {
  const auto found = config.find("layers_to_transform");
  if (found == config.end() || found->is_null()) return {};
  const Json layers = found->is_array() ? *found : Json::array({*found});
  if (layers.size() > kMaxListed) return Malformed("layers_to_transform", "a list of layers");
  for (const Json& layer : layers) {
    if (!layer.is_number_integer() || layer < 0 ||
        layer > std::numeric_limits<std::int32_t>::max()) {
      return Malformed("layers_to_transform", "a list of layers of the model");
    }
    peft.layers.push_back(layer.get<std::int64_t>());
  }
  if (peft.layers.empty()) return {};
  if (!peft.targets.expression.empty()) {
    return base::Fail(Code::kDataLoss,
                      "layers_to_transform cannot stand beside a pattern in target_modules: put "
                      "the layers into the pattern");
  }
  const Json& pattern = Field(config, "layers_pattern");
  const bool known = pattern.is_array()
                         ? std::find(pattern.begin(), pattern.end(), "layers") != pattern.end()
                         : pattern == "layers";
  if (IsOff(pattern) || known) return {};
  return base::Fail(Code::kUnimplemented,
                    "layers_pattern other than 'layers' is not supported: the networks here have "
                    "one list of layers");
}

template <typename T, typename Read>
base::Result<std::vector<std::pair<std::string, T>>> ReadPattern(const Json& config,
                                                                 const std::string& name,
                                                                 const Read& read) {
  std::vector<std::pair<std::string, T>> pattern;
  const Json& value = Field(config, name);
  if (IsOff(value)) return pattern;
  if (!value.is_object() || value.size() > 1024) return Malformed(name, "an object of numbers");
  for (const auto& [key, number] : value.items()) {
    CLOISTER_ASSIGN_OR_RETURN(const T one, read(number, name));
    pattern.emplace_back(key, one);
  }
  return pattern;
}

}  // namespace

base::Result<PeftConfig> ReadPeftConfig(const Json& config) {
  CLOISTER_RETURN_IF_ERROR(RefuseVariants(config));
  PeftConfig peft;
  for (const char* name : {"r", "lora_alpha"}) {
    if (Field(config, name).is_null()) {
      return base::Fail(Code::kDataLoss, std::string("field ") + name + " is missing");
    }
  }
  CLOISTER_ASSIGN_OR_RETURN(peft.rank, Rank(config.at("r"), "r"));
  CLOISTER_ASSIGN_OR_RETURN(peft.alpha, Alpha(config.at("lora_alpha"), "lora_alpha"));
  CLOISTER_ASSIGN_OR_RETURN(const auto rslora, OptionalBool(config, "use_rslora"));
  peft.rank_stabilized = rslora.value_or(false);
  CLOISTER_ASSIGN_OR_RETURN(const auto tying, OptionalBool(config, "ensure_weight_tying"));
  peft.ensure_weight_tying = tying.value_or(false);
  CLOISTER_RETURN_IF_ERROR(ReadTargets(config, peft));
  CLOISTER_RETURN_IF_ERROR(ReadLayers(config, peft));
  CLOISTER_ASSIGN_OR_RETURN(peft.rank_pattern,
                            ReadPattern<std::int64_t>(config, "rank_pattern", Rank));
  CLOISTER_ASSIGN_OR_RETURN(peft.alpha_pattern,
                            ReadPattern<double>(config, "alpha_pattern", Alpha));
  const Json& saved = Field(config, "modules_to_save");
  if (IsOff(saved)) return peft;
  CLOISTER_ASSIGN_OR_RETURN(peft.modules_to_save, Names(saved, "modules_to_save"));
  return peft;
}

}  // namespace cloister::model
