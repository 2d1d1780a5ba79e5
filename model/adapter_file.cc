// PEFT's adapter folders: adapter_config.json (peft.LoraConfig) and adapter_model.safetensors.
#include <cmath>
#include <set>

#include "base/check.h"
#include "base/file.h"
#include "model/adapter.h"
#include "model/json_reader.h"
#include "model/safetensors_file.h"
#include "model/safetensors_writer.h"

namespace cloister::model {
namespace {

using base::Code;
using nlohmann::json;

constexpr char kConfigName[] = "adapter_config.json";
constexpr char kWeightsName[] = "adapter_model.safetensors";

// Variants of LoRA that change what the matrices mean.
base::Status RefuseVariants(const json& config) {
  CLOISTER_ASSIGN_OR_RETURN(const std::string kind, RequiredString(config, "peft_type"));
  if (kind != "LORA") {
    return base::Fail(Code::kUnimplemented, "peft_type '" + kind + "' is not supported: use LORA");
  }
  for (const char* name : {"use_rslora", "use_dora", "fan_in_fan_out", "lora_bias", "use_qalora"}) {
    CLOISTER_ASSIGN_OR_RETURN(const auto on, OptionalBool(config, name));
    if (on.value_or(false)) {
      return base::Fail(Code::kUnimplemented,
                        std::string(name) + " true is not supported: use plain LoRA");
    }
  }
  for (const char* name :
       {"modules_to_save", "rank_pattern", "alpha_pattern", "exclude_modules", "layer_replication",
        "megatron_config", "target_parameters", "trainable_token_indices"}) {
    const auto found = config.find(name);
    if (found != config.end() && !found->is_null() && !found->empty()) {
      return base::Fail(Code::kUnimplemented,
                        std::string(name) + " is not supported: use plain LoRA");
    }
  }
  CLOISTER_ASSIGN_OR_RETURN(const auto bias, OptionalString(config, "bias"));
  if (bias.value_or("none") != "none") {
    return base::Fail(Code::kUnimplemented, "bias '" + *bias + "' is not supported: use none");
  }
  // PiSSA, OLoRA and their like change the base weights too.
  const auto start = config.find("init_lora_weights");
  if (start != config.end() && start->is_string() && *start != "gaussian" && *start != "eva" &&
      *start != "orthogonal") {
    return base::Fail(Code::kUnimplemented,
                      "init_lora_weights '" + start->get<std::string>() +
                          "' changes the base model, which is not supported: use plain LoRA");
  }
  return {};
}

base::Result<std::int64_t> FirstLayer(const json& config, std::int64_t num_layers) {
  const auto found = config.find("layers_to_transform");
  if (found == config.end() || found->is_null()) return 0;
  const json layers = found->is_array() ? *found : json::array({*found});
  std::set<std::int64_t> seen;
  for (const json& layer : layers) {
    if (!layer.is_number_integer() || layer < 0 || layer >= num_layers) {
      return base::Fail(Code::kDataLoss, "field layers_to_transform must list layers of the model");
    }
    seen.insert(layer.get<std::int64_t>());
  }
  if (seen.empty()) return 0;
  if (num_layers - *seen.begin() != static_cast<std::int64_t>(seen.size())) {
    return base::Fail(Code::kUnimplemented,
                      "layers_to_transform must name the last layers without a gap: others are "
                      "not supported");
  }
  return *seen.begin();
}

base::Result<LoraConfig> ReadConfig(const json& config, const Architecture& architecture) {
  CLOISTER_RETURN_IF_ERROR(RefuseVariants(config));
  LoraConfig lora;
  CLOISTER_ASSIGN_OR_RETURN(lora.rank, RequiredInteger(config, "r"));
  CLOISTER_ASSIGN_OR_RETURN(lora.alpha, RequiredNumber(config, "lora_alpha"));
  const auto targets = config.find("target_modules");
  if (targets == config.end() || !targets->is_array()) {
    return base::Fail(Code::kUnimplemented,
                      "target_modules must be a list of projections: patterns are not supported");
  }
  for (const json& target : *targets) {
    if (!target.is_string()) return base::Fail(Code::kDataLoss, "target_modules must list names");
    lora.targets.push_back(target.get<std::string>());
  }
  CLOISTER_ASSIGN_OR_RETURN(lora.first_layer, FirstLayer(config, architecture.num_layers));
  if (base::Status valid = Validate(lora, architecture); !valid) {
    // A bad file, not a bad flag.
    return base::Fail(Code::kDataLoss, valid.error().message);
  }
  return lora;
}

base::Status CheckShape(const SafetensorsFile& file, const AdapterTensor& wanted) {
  if (!file.entries().contains(wanted.name)) {
    return base::Fail(Code::kDataLoss, file.path().string() + " has no tensor " + wanted.name +
                                           ", which its adapter_config.json asks for: the adapter "
                                           "is incomplete or of another model, fetch it again");
  }
  CLOISTER_ASSIGN_OR_RETURN(const TensorView view, file.Tensor(wanted.name));
  if (view.shape == std::vector<std::int64_t>{wanted.rows, wanted.columns}) return {};
  return base::Fail(Code::kDataLoss, file.path().string() + ": tensor " + wanted.name +
                                         " must be " + std::to_string(wanted.rows) + " x " +
                                         std::to_string(wanted.columns) +
                                         ": adapter and model do not belong together");
}

base::Status ReadTensor(const SafetensorsFile& file, const AdapterTensor& wanted,
                        std::span<float> to) {
  CLOISTER_ASSIGN_OR_RETURN(const TensorView view, file.Tensor(wanted.name));
  DequantizeRows(view, 0, view.rows(), to.data());
  for (const float value : to) {
    if (!std::isfinite(value)) {
      return base::Fail(Code::kDataLoss, file.path().string() + ": tensor " + wanted.name +
                                             " holds a value that is not finite");
    }
  }
  return {};
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
  nlohmann::ordered_json json_config = {{"peft_type", "LORA"},
                                        {"task_type", "CAUSAL_LM"},
                                        {"base_model_name_or_path", base_model},
                                        {"r", config.rank},
                                        {"lora_alpha", config.alpha},
                                        {"target_modules", config.targets},
                                        {"lora_dropout", 0.0},
                                        {"bias", "none"},
                                        {"fan_in_fan_out", false},
                                        {"inference_mode", true}};
  if (config.first_layer > 0) {
    json_config["layers_to_transform"] = nlohmann::ordered_json::array();
    for (std::int64_t layer = config.first_layer; layer < architecture.num_layers; ++layer) {
      json_config["layers_to_transform"].push_back(layer);
    }
    json_config["layers_pattern"] = "layers";
  }
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
  CLOISTER_ASSIGN_OR_RETURN(const json fields, ReadJsonObject(folder / kConfigName));
  base::Result<LoraConfig> config = ReadConfig(fields, architecture);
  if (!config) return base::Annotate(std::move(config), (folder / kConfigName).string());
  CLOISTER_ASSIGN_OR_RETURN(const SafetensorsFile file,
                            SafetensorsFile::Open(folder / kWeightsName));
  const std::vector<AdapterTensor> layout = AdapterLayout(*config, architecture);
  // Shapes first: what the config asks for must be in the file before memory is given to it.
  for (const AdapterTensor& tensor : layout) {
    CLOISTER_RETURN_IF_ERROR(CheckShape(file, tensor));
  }
  Adapter adapter;
  adapter.config = *std::move(config);
  adapter.parameters.resize(static_cast<std::size_t>(AdapterSize(layout)));
  for (const AdapterTensor& tensor : layout) {
    const std::span<float> to =
        std::span(adapter.parameters)
            .subspan(static_cast<std::size_t>(tensor.offset),
                     static_cast<std::size_t>(tensor.rows * tensor.columns));
    CLOISTER_RETURN_IF_ERROR(ReadTensor(file, tensor, to));
  }
  if (file.entries().size() != layout.size()) {
    return base::Fail(Code::kDataLoss, file.path().string() +
                                           " holds tensors that its adapter_config.json does not "
                                           "name: adapter and config do not belong together");
  }
  return adapter;
}

}  // namespace cloister::model
