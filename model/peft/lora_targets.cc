#include "model/peft/lora_targets.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include "model/peft/module_pattern.h"

namespace cloister::model {
namespace {

using base::Code;

constexpr char kAllLinear[] = "all-linear";  // PEFT knows it in any case

bool IsAllLinear(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text == kAllLinear;
}

std::string NameOf(std::int64_t layer, const LinearModule& module) {
  return "model.layers." + std::to_string(layer) + "." + module.name;
}

// Names of the modules from a layer on that a pattern means.
base::Result<std::vector<std::string>> Meant(const std::string& pattern, std::int64_t first_layer,
                                             const Architecture& architecture) {
  std::optional<ModulePattern> expression;
  if (!IsAllLinear(pattern)) {
    auto made = ModulePattern::Make(pattern);
    if (!made) return base::Fail(Code::kInvalidArgument, made.error().message);
    expression.emplace(*std::move(made));
  }
  std::vector<std::string> names;
  for (std::int64_t layer = first_layer; layer < architecture.num_layers; ++layer) {
    for (const LinearModule& module : LinearModules(architecture, layer)) {
      std::string name = NameOf(layer, module);
      if (expression) {
        const auto matches = expression->Matches(name);
        if (!matches) return base::Fail(Code::kInvalidArgument, matches.error().message);
        if (!*matches) continue;
      }
      names.push_back(std::move(name));
    }
  }
  return names;
}

}  // namespace

base::Result<LoraConfig> WithTargetsOf(const std::string& pattern, LoraConfig config,
                                       const Architecture& architecture) {
  CLOISTER_ASSIGN_OR_RETURN(const std::vector<std::string> meant,
                            Meant(pattern, config.first_layer, architecture));
  if (meant.empty()) {
    return base::Fail(Code::kInvalidArgument,
                      "LoRA targets '" + pattern +
                          "' match no linear layer: match whole names such as " +
                          NameOf(0, LinearModules(architecture, 0)[0]) + ", or write all-linear");
  }
  const auto is_meant = [&](const std::string& name) {
    return std::find(meant.begin(), meant.end(), name) != meant.end();
  };
  std::optional<std::int64_t> first;
  config.targets.clear();
  for (std::int64_t layer = config.first_layer; layer < architecture.num_layers; ++layer) {
    for (const LinearModule& module : LinearModules(architecture, layer)) {
      if (!is_meant(NameOf(layer, module))) continue;
      first = first.value_or(layer);
      if (std::find(config.targets.begin(), config.targets.end(), module.target) ==
          config.targets.end()) {
        config.targets.push_back(module.target);
      }
    }
  }
  config.first_layer = *first;
  for (const AdapterTensor& tensor : AdapterLayout(config, architecture)) {
    const std::string name = tensor.target.substr(0, tensor.target.rfind(".weight"));
    if (is_meant(name)) continue;
    return base::Fail(Code::kInvalidArgument,
                      "LoRA targets '" + pattern + "' leave out " + name +
                          ", where other layers have it: adapters sit on the same linear layers "
                          "of every decoder layer from one on");
  }
  return config;
}

}  // namespace cloister::model
