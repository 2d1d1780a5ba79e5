#include "trainer/recipe/optimizer_section.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <string>

#include "trainer/recipe/names.h"

namespace cloister::trainer {
namespace {

constexpr std::array<std::string_view, 2> kLossMeans = {"token", "example"};  // as the enum
constexpr auto kOfAdam = std::to_array<std::string_view>(
    {"optimizer.beta1", "optimizer.beta2", "optimizer.epsilon", "optimizer.noise_bias_correction",
     "optimizer.noise_bias_floor"});
constexpr auto kOfSgd =
    std::to_array<std::string_view>({"optimizer.momentum", "optimizer.nesterov"});

tl::unexpected<base::Error> Wrong(const std::string& what) {
  return base::Fail(base::Code::kInvalidArgument, what);
}

template <typename T>
T Get(const FlatRecipe& flat, const char* path, T otherwise) {
  const auto found = flat.find(path);
  return found == flat.end() ? otherwise : found->second.as<T>();
}

base::Status CheckKeys(const FlatRecipe& flat, OptimizerKind kind) {
  const bool sgd = kind == OptimizerKind::kSgd;
  const std::span<const std::string_view> others =
      sgd ? std::span<const std::string_view>(kOfAdam) : std::span<const std::string_view>(kOfSgd);
  for (const std::string_view key : others) {
    if (!flat.contains(std::string(key))) continue;
    return Wrong("'" + std::string(key) + "' goes with 'optimizer.name' " +
                 (sgd ? "adamw or adamw_8bit" : "sgd") + ": leave it out, or name that one");
  }
  return {};
}

base::Status ReadNoiseBias(const FlatRecipe& flat, OptimizerOptions& options) {
  const bool floor = flat.contains("optimizer.noise_bias_floor");
  if (!Get(flat, "optimizer.noise_bias_correction", false)) {
    if (!floor) return {};
    return Wrong("'optimizer.noise_bias_floor' goes with 'optimizer.noise_bias_correction'");
  }
  const auto privacy = flat.lower_bound("privacy");
  if (privacy == flat.end() || !privacy->first.starts_with("privacy")) {
    return Wrong(
        "'optimizer.noise_bias_correction' goes with 'privacy': there is no noise to "
        "correct for");
  }
  if (!floor) {
    return Wrong(
        "'optimizer.noise_bias_floor' is missing, the least that a corrected second moment "
        "counts for: the square of the smallest gradient that is to be told from none, "
        "1e-8 is usual");
  }
  options.noise_bias_floor = Get(flat, "optimizer.noise_bias_floor", 0.0);
  return {};
}

}  // namespace

base::Result<OptimizerOptions> ReadOptimizer(const FlatRecipe& flat) {
  OptimizerOptions options;
  auto kind = ParseOptimizer(Get<std::string>(flat, "optimizer.name", "adamw"));
  if (!kind) return base::Annotate(std::move(kind), "'optimizer.name'");
  CLOISTER_RETURN_IF_ERROR(CheckKeys(flat, *kind));
  options.kind = *kind;
  options.learning_rate = Get(flat, "optimizer.learning_rate", 0.0);
  options.beta1 = Get(flat, "optimizer.beta1", options.beta1);
  options.beta2 = Get(flat, "optimizer.beta2", options.beta2);
  options.epsilon = Get(flat, "optimizer.epsilon", options.epsilon);
  options.weight_decay = Get(flat, "optimizer.weight_decay", 0.0);
  options.momentum = Get(flat, "optimizer.momentum", 0.0);
  options.nesterov = Get(flat, "optimizer.nesterov", false);
  if (options.nesterov && !(options.momentum > 0)) {
    return Wrong("'optimizer.nesterov' needs an 'optimizer.momentum' above 0");
  }
  CLOISTER_RETURN_IF_ERROR(ReadNoiseBias(flat, options));
  return options;
}

base::Result<LossMean> ReadLossMean(const FlatRecipe& flat, bool is_private) {
  const auto otherwise =
      static_cast<std::size_t>(is_private ? LossMean::kExample : LossMean::kToken);
  const auto name = Get(flat, "training.loss_mean", std::string(kLossMeans.at(otherwise)));
  const auto* const found = std::find(kLossMeans.begin(), kLossMeans.end(), name);
  if (found == kLossMeans.end()) {
    return Wrong("'training.loss_mean' is '" + name + "': write token or example");
  }
  const auto mean = static_cast<LossMean>(found - kLossMeans.begin());
  if (is_private && mean == LossMean::kToken) {
    return Wrong(
        "'training.loss_mean' token may not stand with 'privacy': the number of tokens in a "
        "batch is a secret, and one record's share would depend on the others; leave it "
        "out");
  }
  return mean;
}

base::Status CheckKeepBest(const Recipe& recipe) {
  if (!recipe.checkpoints) return {};
  if (recipe.checkpoints->keep_best && !recipe.data.eval) {
    return Wrong(
        "'checkpoints.keep_best' needs 'data.eval': the best one is the one of the lowest "
        "held-out loss");
  }
  if (recipe.checkpoints->load_best_at_end && !recipe.checkpoints->keep_best) {
    return Wrong("'checkpoints.load_best_model_at_end' goes with 'checkpoints.keep_best'");
  }
  return {};
}

void WriteOptimizer(const OptimizerOptions& options, YAML::Node& section) {
  section["name"] = std::string(OptimizerName(options.kind));
  section["learning_rate"] = NumberText(options.learning_rate);
  if (options.kind == OptimizerKind::kSgd) {
    section["momentum"] = NumberText(options.momentum);
    section["nesterov"] = options.nesterov;
  } else {
    section["beta1"] = NumberText(options.beta1);
    section["beta2"] = NumberText(options.beta2);
    section["epsilon"] = NumberText(options.epsilon);
  }
  section["weight_decay"] = NumberText(options.weight_decay);
  if (options.noise_bias_floor) {
    section["noise_bias_correction"] = true;
    section["noise_bias_floor"] = NumberText(*options.noise_bias_floor);
  }
}

std::string_view LossMeanName(LossMean mean) {
  return kLossMeans.at(static_cast<std::size_t>(mean));
}

}  // namespace cloister::trainer
