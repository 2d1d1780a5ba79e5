#include "trainer/recipe/method_section.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "base/check.h"

namespace cloister::trainer {
namespace {

constexpr std::string_view kLora = "lora", kQlora = "qlora", kFull = "full";

struct Named {
  std::string_view name;
  BaseWeights base;
};
constexpr std::array<Named, 3> kQuantizations = {
    {{"nf4", BaseWeights::kNf4}, {"q4_0", BaseWeights::kQ4_0}, {"q8_0", BaseWeights::kQ8_0}}};

std::optional<BaseWeights> QuantizationOf(std::string_view name) {
  for (const Named& one : kQuantizations) {
    if (one.name == name) return one.base;
  }
  return std::nullopt;
}

bool HasLora(const FlatRecipe& flat) {
  const auto from = flat.lower_bound("lora.");
  return from != flat.end() && from->first.starts_with("lora.");
}

// The word there; nothing where the key is absent, an empty one where there is no word.
std::optional<std::string> WordAt(const FlatRecipe& flat, const std::string& key) {
  const auto found = flat.find(key);
  if (found == flat.end()) return std::nullopt;
  return found->second.IsScalar() ? found->second.Scalar() : std::string();
}

template <typename T>
T Get(const FlatRecipe& flat, const char* path, T otherwise = {}) {
  const auto found = flat.find(path);
  return found == flat.end() ? otherwise : found->second.as<T>();
}

}  // namespace

std::string_view MethodName(const Recipe& recipe) {
  if (!recipe.lora) return kFull;
  return recipe.training.compute.base == BaseWeights::kDense ? kLora : kQlora;
}

std::string_view QuantizationName(BaseWeights base) {
  for (const Named& one : kQuantizations) {
    if (one.base == base) return one.name;
  }
  base::CheckFailed(__FILE__, __LINE__, "a base without quantization");
}

std::vector<std::string> MethodFaults(const FlatRecipe& flat) {
  std::vector<std::string> faults;
  const auto method = WordAt(flat, "method"), quantization = WordAt(flat, "quantization");
  if (method && method != kLora && method != kQlora && method != kFull) {
    faults.emplace_back("'method' must be lora, qlora or full");
  } else if (method == kFull && HasLora(flat)) {
    faults.emplace_back("'lora' and 'method: full' may not stand together: keep one");
  } else if (method != kFull && !HasLora(flat)) {
    faults.emplace_back(method ? "'lora' is missing: it says what adapter 'method' trains"
                               : "'lora' or 'method: full' is missing: say what is trained");
  }
  if (HasLora(flat)) {
    for (const char* const key : {"lora.rank", "lora.alpha", "lora.targets"}) {
      if (!flat.contains(key)) faults.push_back("'" + std::string(key) + "' is missing");
    }
  }
  const auto sharded = flat.find("training.shard_parameters");
  if (HasLora(flat) && sharded != flat.end() && sharded->second.as<bool>(false)) {
    faults.emplace_back(
        "'training.shard_parameters' goes with 'method: full' alone: an adapter is small, and the "
        "frozen weights below it are the same on every rank");
  }
  if (quantization && method != kQlora) {
    faults.emplace_back("'quantization' goes with 'method: qlora' alone");
  } else if (quantization && !QuantizationOf(*quantization)) {
    faults.emplace_back("'quantization' must be nf4, q4_0 or q8_0");
  }
  return faults;
}

void ReadMethod(const FlatRecipe& flat, Recipe& recipe) {
  if (!HasLora(flat)) return;
  if (WordAt(flat, "method") == kQlora) {
    const auto name = WordAt(flat, "quantization").value_or(std::string(kQuantizations[0].name));
    recipe.training.compute.base = *QuantizationOf(name);
  }
  recipe.lora = {.rank = Get<std::int64_t>(flat, "lora.rank"),
                 .alpha = Get<double>(flat, "lora.alpha"),
                 .targets = {},
                 .first_layer = Get<std::int64_t>(flat, "lora.first_layer"),
                 .rank_stabilized = Get<bool>(flat, "lora.use_rslora"),
                 .dropout = Get<double>(flat, "lora.dropout")};
  if (const YAML::Node& targets = flat.at("lora.targets"); targets.IsScalar()) {
    recipe.lora_pattern = targets.Scalar();
  } else {
    recipe.lora->targets = targets.as<std::vector<std::string>>();
  }
  recipe.lora_seed = static_cast<std::uint64_t>(Get<std::int64_t>(flat, "lora.seed"));
}

base::Status ReadDevice(const FlatRecipe& flat, Recipe& recipe) {
  std::string& device = recipe.training.compute.device;
  device = Get<std::string>(flat, "training.device", device);
  const std::string_view number = std::string_view(device).substr(0, 5) == "cuda:"
                                      ? std::string_view(device).substr(5)
                                      : std::string_view();
  const bool counted = !number.empty() && number.size() <= 2 &&
                       number.find_first_not_of("0123456789") == number.npos;
  if (device != "cpu" && device != "cuda" && !counted) {
    return base::Fail(base::Code::kInvalidArgument,
                      "'training.device' is '" + device + "': write cpu, cuda or cuda:N");
  }
  if (device != "cpu" && recipe.training.compute.shard_parameters) {
    return base::Fail(base::Code::kInvalidArgument,
                      "'training.shard_parameters' goes with 'training.device: cpu' alone: a GPU "
                      "computes with all weights");
  }
  return {};
}

}  // namespace cloister::trainer
