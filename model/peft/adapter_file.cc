// PEFT's adapter folders: adapter_config.json (peft.LoraConfig) and adapter_model.safetensors.
#include <algorithm>
#include <set>

#include "base/check.h"
#include "base/file.h"
#include "model/adapter.h"
#include "model/huggingface/safetensors_writer.h"
#include "model/peft/adapter_changes.h"

namespace cloister::model {
namespace {

using base::Code;

constexpr char kConfigName[] = "adapter_config.json";
constexpr char kWeightsName[] = "adapter_model.safetensors";

// In networks whose transformers module has stacks of experts, PEFT (0.21, transformers 5) takes
// the names gate_proj, up_proj and down_proj in target_modules to mean those stacks and nothing
// else, however they are written. The MLPs beside them are named as parameters instead.
bool IsNamedAsParameter(const std::string& target, const Architecture& architecture) {
  const bool has_stacks = architecture.latent || architecture.experts;
  return has_stacks && (target == "gate_proj" || target == "up_proj" || target == "down_proj");
}

nlohmann::ordered_json ConfigOf(const LoraConfig& config, const Architecture& architecture,
                                const std::vector<AdapterTensor>& layout,
                                const std::string& base_model) {
  auto modules = nlohmann::ordered_json::array(), parameters = modules, layers = modules;
  for (const std::string& target : config.targets) {
    if (!IsNamedAsParameter(target, architecture)) modules.push_back(target);
  }
  for (const AdapterTensor& tensor : layout) {
    if (tensor.is_a && IsNamedAsParameter(tensor.projection, architecture)) {
      parameters.push_back(tensor.target);
    }
  }
  nlohmann::ordered_json fields = {{"peft_type", "LORA"},
                                   {"task_type", "CAUSAL_LM"},
                                   {"base_model_name_or_path", base_model},
                                   {"r", config.rank},
                                   {"lora_alpha", config.alpha},
                                   {"use_rslora", config.rank_stabilized},
                                   {"target_modules", std::move(modules)},
                                   {"lora_dropout", config.dropout},
                                   {"bias", "none"},
                                   {"fan_in_fan_out", false},
                                   {"inference_mode", true}};
  if (!parameters.empty()) fields["target_parameters"] = std::move(parameters);
  if (config.first_layer == 0) return fields;
  for (std::int64_t layer = config.first_layer; layer < architecture.num_layers; ++layer) {
    layers.push_back(layer);
  }
  fields["layers_to_transform"] = std::move(layers);
  fields["layers_pattern"] = "layers";
  return fields;
}

// Targets in the order of the file's list, those of no layer left out; in the network's order where
// the file has an expression.
std::vector<std::string> TargetsOf(const AdapterChanges& changes,
                                   const Architecture& architecture) {
  std::vector<std::string> present;
  for (std::int64_t layer = 0; layer < architecture.num_layers; ++layer) {
    for (const LinearModule& module : LinearModules(architecture, layer)) {
      const std::string weight =
          "model.layers." + std::to_string(layer) + "." + module.name + ".weight";
      if (changes.low_rank.contains(weight) &&
          std::find(present.begin(), present.end(), module.target) == present.end()) {
        present.push_back(module.target);
      }
    }
  }
  std::vector<std::string> ordered;
  for (const std::string& name : changes.config.targets.names) {
    const auto found = std::find(present.begin(), present.end(), name);
    if (found == present.end()) continue;
    ordered.push_back(name);
    present.erase(found);
  }
  ordered.insert(ordered.end(), present.begin(), present.end());
  return ordered;
}

tl::unexpected<base::Error> NotTrainable(const std::string& what) {
  return base::Fail(Code::kUnimplemented,
                    what +
                        ": such an adapter cannot be trained here, merge it with cloister model "
                        "merge and train another on the result");
}

// The config that describes `changes` whole, if there is one.
base::Result<LoraConfig> UniformConfig(const AdapterChanges& changes,
                                       const Architecture& architecture) {
  if (!changes.replaced.empty()) {
    return NotTrainable("modules_to_save: the adapter replaces " + changes.replaced.begin()->first);
  }
  LoraConfig lora;
  lora.rank = changes.config.rank;
  lora.alpha = changes.config.alpha;
  lora.rank_stabilized = changes.config.rank_stabilized;
  lora.targets = TargetsOf(changes, architecture);
  lora.first_layer = architecture.num_layers;
  for (const auto& [weight, change] : changes.low_rank) {
    if (!change.layer) return NotTrainable("target_modules: the adapter changes " + weight);
    if (change.rank != lora.rank || change.scale != lora.scale()) {
      return NotTrainable("rank_pattern or alpha_pattern gives " + weight +
                          " a rank or an alpha of its own");
    }
    lora.first_layer = std::min(lora.first_layer, *change.layer);
  }
  std::set<std::string> described;
  if (!lora.targets.empty()) {
    for (const AdapterTensor& tensor : AdapterLayout(lora, architecture)) {
      described.insert(tensor.target);
      if (changes.low_rank.contains(tensor.target)) continue;
      return NotTrainable("target_modules and layers_to_transform leave out " + tensor.target +
                          ", where other layers have it");
    }
  }
  for (const auto& [weight, change] : changes.low_rank) {
    if (!described.contains(weight)) {
      return NotTrainable("target_modules: the adapter changes " + weight);
    }
  }
  CLOISTER_RETURN_IF_ERROR(Validate(lora, architecture));
  return lora;
}

}  // namespace

base::Status SaveAdapter(const std::filesystem::path& folder, const LoraConfig& config,
                         const Architecture& architecture, std::span<const float> parameters,
                         const std::string& base_model) {
  CLOISTER_RETURN_IF_ERROR(Validate(config, architecture));
  const std::vector<AdapterTensor> layout = AdapterLayout(config, architecture);
  CLOISTER_CHECK(static_cast<std::int64_t>(parameters.size()) == AdapterSize(layout));
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return base::Fail(Code::kUnavailable, "cannot make folder " + folder.string() + " (" +
                                              error.message() + "): check its parent");
  }
  const nlohmann::ordered_json json_config = ConfigOf(config, architecture, layout, base_model);
  std::vector<TensorSpec> specs;
  for (const AdapterTensor& tensor : layout) {
    specs.push_back({tensor.name, DataType::kF32, {tensor.rows, tensor.columns}});
  }
  CLOISTER_ASSIGN_OR_RETURN(auto sink, NewSafetensors(folder / kWeightsName, std::move(specs)));
  for (const AdapterTensor& tensor : layout) {
    CLOISTER_RETURN_IF_ERROR(sink->Write(
        std::as_bytes(parameters.subspan(static_cast<std::size_t>(tensor.offset),
                                         static_cast<std::size_t>(tensor.rows * tensor.columns)))));
  }
  CLOISTER_RETURN_IF_ERROR(sink->Commit());
  const auto replace = nlohmann::ordered_json::error_handler_t::replace;
  return base::WriteFile(folder / kConfigName, json_config.dump(2, ' ', false, replace) + "\n");
}

base::Result<Adapter> LoadAdapter(const std::filesystem::path& folder,
                                  const Architecture& architecture) {
  CLOISTER_ASSIGN_OR_RETURN(const AdapterChanges changes, ReadAdapterChanges(folder, architecture));
  base::Result<LoraConfig> config = UniformConfig(changes, architecture);
  if (!config) return base::Annotate(std::move(config), (folder / kConfigName).string());
  const std::vector<AdapterTensor> layout = AdapterLayout(*config, architecture);
  Adapter adapter;
  adapter.config = *std::move(config);
  adapter.parameters.resize(static_cast<std::size_t>(AdapterSize(layout)));
  for (const AdapterTensor& tensor : layout) {
    const LowRankChange& change = changes.low_rank.at(tensor.target);
    DequantizeRows(tensor.is_a ? change.a : change.b, 0, tensor.rows,
                   adapter.parameters.data() + tensor.offset);
  }
  return adapter;
}

}  // namespace cloister::model
