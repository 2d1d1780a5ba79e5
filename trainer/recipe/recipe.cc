#include "trainer/recipe/recipe.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <vector>

#include "base/file.h"
#include "trainer/recipe/data_section.h"
#include "trainer/recipe/evaluation_section.h"
#include "trainer/recipe/mechanism_section.h"
#include "trainer/recipe/method_section.h"
#include "trainer/recipe/names.h"
#include "trainer/recipe/optimizer_section.h"
#include "trainer/recipe/schema.h"

namespace cloister::trainer {
namespace {

constexpr double kMany = 1e9;
constexpr auto kText = Field::Kind::kText;
constexpr auto kSwitch = Field::Kind::kSwitch;
constexpr auto kInteger = Field::Kind::kInteger;
constexpr auto kReal = Field::Kind::kReal;
constexpr bool kAbove = true;  // the lower end is excluded

constexpr auto kFields = std::to_array<Field>({
    {"model", kText},
    {"output", kText},
    {"method", kText},
    {"quantization", kText},
    {"data.train", kText},
    {"data.eval", kText},
    {"data.eval_rows", kInteger, 0, kMany},
    {"data.max_tokens", kInteger, 2, 1 << 20},
    {"data.truncation", kText},
    {"data.format", kText},
    {"data.packing", kSwitch},
    {"data.columns.instruction", kText},
    {"data.columns.input", kText},
    {"data.columns.output", kText},
    {"data.columns.system", kText},
    {"data.columns.text", kText},
    {"data.columns.unit", kText},
    {"data.license", kText},
    {"data.eval_consent", kText},
    {"evaluation.perplexity", kText},
    {"evaluation.multiple_choice", kText},
    {"evaluation.exact_match", kText},
    {"evaluation.rows", kInteger, 0, kMany},
    {"evaluation.max_new_tokens", kInteger, 1, 4096},
    {"lora.rank", kInteger, 1, 4096},
    {"lora.alpha", kReal, 0, 1e6, kAbove},
    {"lora.targets", Field::Kind::kTextOrTexts},
    {"lora.first_layer", kInteger, 0, 4096},
    {"lora.use_rslora", kSwitch},
    {"lora.dropout", kReal, 0, 0.99},
    {"lora.seed", kInteger, 0, 9e15},
    {"optimizer.name", kText},
    {"optimizer.learning_rate", kReal, 0, 100, kAbove},
    {"optimizer.beta1", kReal, 0, 0.9999999},
    {"optimizer.beta2", kReal, 0, 0.9999999},
    {"optimizer.epsilon", kReal, 0, 1, kAbove},
    {"optimizer.weight_decay", kReal, 0, 10},
    {"optimizer.momentum", kReal, 0, 0.9999999},
    {"optimizer.nesterov", kSwitch},
    {"optimizer.noise_bias_correction", kSwitch},
    {"optimizer.noise_bias_floor", kReal, 0, 1, kAbove},
    {"optimizer.schedule", kText},
    {"optimizer.warmup_steps", kInteger, 0, 1e7},
    {"optimizer.final_share", kReal, 0, 1},
    {"training.steps", kInteger, 1, 1e7},
    {"training.batch_size", kInteger, 1, 1 << 20},
    {"training.seed", kInteger, 0, 9e15},
    {"training.micro_batch_tokens", kInteger, 1, kMany},
    {"training.threads", kInteger, 0, 1024},
    {"training.eval_every", kInteger, 0, 1e7},
    {"training.loss_mean", kText},
    {"training.ema_decay", kReal, 0, 0.9999999},
    {"training.max_grad_norm", kReal, 0, 1e9, kAbove},
    {"training.activation_checkpointing", kSwitch},
    {"training.shard_parameters", kSwitch},
    {"training.precision", kText},
    {"training.device", kText},
    {"checkpoints.folder", kText},
    {"checkpoints.every", kInteger, 1, 1e7},
    {"checkpoints.keep", kInteger, 1, 1000},
    {"checkpoints.keep_best", kSwitch},
    {"checkpoints.load_best_model_at_end", kSwitch},
    {"privacy.noise_multiplier", kReal, 1e-3, 1e4},
    {"privacy.target_epsilon", kReal, 0, 1e4, kAbove},
    {"privacy.delta", kReal, 0, 0.5, kAbove},
    {"privacy.allow_large_delta", kSwitch},
    {"privacy.clip_norm", kReal, 1e-30, 1e9},
    {"privacy.clipping", kText},
    {"privacy.stability", kReal, 0, 1e9, kAbove},
    {"privacy.adaptive.quantile", kReal, 0, 1, kAbove},
    {"privacy.adaptive.rate", kReal, 0, 10, kAbove},
    {"privacy.adaptive.count_noise_multiplier", kReal, 0, 1e6, kAbove},
    {"privacy.mechanism", kText},
    {"privacy.sampling_rate", kReal, 0, 1, kAbove},
    {"privacy.bands", kInteger, 1, 1024},
    {"privacy.min_separation", kInteger, 1, kMany},
    {"privacy.max_participations", kInteger, 1, 1e7},
    {"privacy.unit", kText},
    {"privacy.neighbours", kText},
    {"privacy.nominal_units", kInteger, 1, kMany},
    {"privacy.nominal_tokens", kInteger, 1, 1 << 20},
    {"privacy.max_records_per_unit", kInteger, 1, kMany},
    {"privacy.ledger", kText},
    {"privacy.budget_epsilon", kReal, 0, 1e4, kAbove},
    {"privacy.budget_delta", kReal, 0, 0.5, kAbove},
});

constexpr auto kRequired =
    std::to_array<std::string_view>({"model", "output", "data.train", "data.max_tokens",
                                     "optimizer.learning_rate", "training.steps"});
constexpr auto kRequiredOfCheckpoints =
    std::to_array<std::string_view>({"checkpoints.folder", "checkpoints.every"});
constexpr auto kRequiredWithPrivacy = std::to_array<std::string_view>(
    {"privacy.delta", "privacy.clip_norm", "privacy.unit", "privacy.neighbours",
     "privacy.nominal_units", "privacy.ledger", "privacy.budget_epsilon", "privacy.budget_delta"});

constexpr auto kAdaptive =
    std::to_array<std::string_view>({"privacy.adaptive.quantile", "privacy.adaptive.rate",
                                     "privacy.adaptive.count_noise_multiplier"});

bool HasSection(const FlatRecipe& flat, const std::string& name) {
  const auto from = flat.lower_bound(name);
  return from != flat.end() && from->first.starts_with(name);
}

bool HasPrivacy(const FlatRecipe& flat) { return HasSection(flat, "privacy"); }

// Keys that are missing or may not stand together.
std::vector<std::string> MissingKeys(const FlatRecipe& flat) {
  std::vector<std::string> faults;
  const auto require = [&](std::span<const std::string_view> paths) {
    for (const std::string_view path : paths) {
      if (!flat.contains(std::string(path))) {
        faults.push_back("'" + std::string(path) + "' is missing");
      }
    }
  };
  require(kRequired);
  for (std::string& fault : DataFaults(flat)) faults.push_back(std::move(fault));
  for (std::string& fault : MethodFaults(flat)) faults.push_back(std::move(fault));
  if (HasSection(flat, "checkpoints")) require(kRequiredOfCheckpoints);
  if (!HasPrivacy(flat)) {
    require(std::array<std::string_view, 1>{"training.batch_size"});
    return faults;
  }
  require(kRequiredWithPrivacy);
  for (std::string& fault : MechanismFaults(flat)) faults.push_back(std::move(fault));
  if (!flat.contains("privacy.noise_multiplier") && !flat.contains("privacy.target_epsilon")) {
    faults.emplace_back("'privacy.noise_multiplier' or 'privacy.target_epsilon' is missing");
  }
  return faults;
}

template <typename T>
T Get(const FlatRecipe& flat, const char* path, T otherwise = {}) {
  const auto found = flat.find(path);
  return found == flat.end() ? otherwise : found->second.as<T>();
}

std::uint64_t Seed(const FlatRecipe& flat, const char* path) {
  return static_cast<std::uint64_t>(Get<std::int64_t>(flat, path));
}

Recipe ReadValues(const FlatRecipe& flat) {
  Recipe recipe;
  recipe.model = Get<std::string>(flat, "model");
  recipe.output = Get<std::string>(flat, "output");
  recipe.data = ReadData(flat);
  recipe.training = {
      .steps = Get<std::int64_t>(flat, "training.steps"),
      .batch_size = Get<std::int64_t>(flat, "training.batch_size"),
      .seed = Seed(flat, "training.seed"),
      .micro_batch_tokens = Get<std::int64_t>(flat, "training.micro_batch_tokens", 1024),
      .threads = Get<std::int64_t>(flat, "training.threads"),
      .eval_every = Get<std::int64_t>(flat, "training.eval_every"),
      .compute = {.activation_checkpointing = Get<bool>(flat, "training.activation_checkpointing"),
                  .packing = Get<bool>(flat, "data.packing"),
                  .shard_parameters = Get<bool>(flat, "training.shard_parameters")}};
  ReadMethod(flat, recipe);
  if (HasSection(flat, "checkpoints")) {
    recipe.checkpoints = {
        .folder = Get<std::string>(flat, "checkpoints.folder"),
        .every = Get<std::int64_t>(flat, "checkpoints.every"),
        .keep = Get<std::int64_t>(flat, "checkpoints.keep", 2),
        .keep_best = Get<bool>(flat, "checkpoints.keep_best"),
        .load_best_at_end = Get<bool>(flat, "checkpoints.load_best_model_at_end")};
  }
  return recipe;
}

base::Status ReadPrecision(const FlatRecipe& flat, Recipe& recipe) {
  const auto name = Get<std::string>(flat, "training.precision", std::string(kPrecisionNames[0]));
  const auto* const found = std::find(std::begin(kPrecisionNames), std::end(kPrecisionNames), name);
  if (found == std::end(kPrecisionNames)) {
    return base::Fail(base::Code::kInvalidArgument,
                      "'training.precision' is '" + name + "': write fp32 or bf16");
  }
  recipe.training.compute.precision = static_cast<Precision>(found - std::begin(kPrecisionNames));
  return {};
}

base::Status ReadOptimisation(const FlatRecipe& flat, Recipe& recipe) {
  CLOISTER_ASSIGN_OR_RETURN(recipe.optimizer, ReadOptimizer(flat));
  CLOISTER_ASSIGN_OR_RETURN(recipe.training.loss_mean, ReadLossMean(flat, HasPrivacy(flat)));
  if (flat.contains("training.ema_decay")) {
    recipe.training.ema_decay = Get<double>(flat, "training.ema_decay");
  }
  if (flat.contains("training.max_grad_norm")) {
    if (HasPrivacy(flat)) {
      return base::Fail(base::Code::kInvalidArgument,
                        "'training.max_grad_norm' is for runs without 'privacy', whose "
                        "'privacy.clip_norm' bounds each unit's gradient: leave it out");
    }
    recipe.training.max_grad_norm = Get<double>(flat, "training.max_grad_norm");
  }
  return CheckKeepBest(recipe);
}

base::Status ReadSchedule(const FlatRecipe& flat, Recipe& recipe) {
  auto shape = ParseShape(Get<std::string>(flat, "optimizer.schedule", "constant"));
  if (!shape) return base::Annotate(std::move(shape), "'optimizer.schedule'");
  recipe.schedule = {.shape = *shape,
                     .warmup_steps = Get<std::int64_t>(flat, "optimizer.warmup_steps"),
                     .final_share = Get<double>(flat, "optimizer.final_share")};
  if (*shape == Schedule::Shape::kConstant && flat.contains("optimizer.final_share")) {
    return base::Fail(base::Code::kInvalidArgument,
                      "'optimizer.final_share' goes with 'optimizer.schedule' linear or cosine");
  }
  if (recipe.schedule.warmup_steps >= recipe.training.steps && recipe.schedule.warmup_steps > 0) {
    return base::Fail(base::Code::kInvalidArgument,
                      "'optimizer.warmup_steps' must be fewer than 'training.steps'");
  }
  return {};
}

base::Status ReadClipping(const FlatRecipe& flat, Recipe::Privacy& privacy) {
  const auto wrong = [](const std::string& what) {
    return base::Fail(base::Code::kInvalidArgument, what);
  };
  const auto name = Get<std::string>(flat, "privacy.clipping", std::string(kClippingNames[0]));
  const auto* const found = std::find(std::begin(kClippingNames), std::end(kClippingNames), name);
  if (found == std::end(kClippingNames)) {
    return wrong("'privacy.clipping' is '" + name + "': write flat, automatic or per-layer");
  }
  privacy.clipping = static_cast<Recipe::Clipping>(found - std::begin(kClippingNames));
  const bool automatic = privacy.clipping == Recipe::Clipping::kAutomatic;
  if (automatic != flat.contains("privacy.stability")) {
    return wrong(automatic ? "'privacy.stability' is missing for automatic clipping: 0.01 is usual"
                           : "'privacy.stability' goes with 'privacy.clipping' automatic alone");
  }
  privacy.stability = Get<double>(flat, "privacy.stability");
  const auto given = std::count_if(kAdaptive.begin(), kAdaptive.end(), [&](std::string_view key) {
    return flat.contains(std::string(key));
  });
  if (given == 0) return {};
  if (given != static_cast<std::ptrdiff_t>(kAdaptive.size())) {
    return wrong("'privacy.adaptive' wants all of quantile, rate and count_noise_multiplier");
  }
  if (privacy.clipping != Recipe::Clipping::kFlat) {
    return wrong("'privacy.adaptive' goes with 'privacy.clipping' flat alone");
  }
  privacy.adaptive = {Get<double>(flat, "privacy.adaptive.quantile"),
                      Get<double>(flat, "privacy.adaptive.rate"),
                      Get<double>(flat, "privacy.adaptive.count_noise_multiplier")};
  return {};
}

// δ of one over the number of units allows to publish a unit's record outright.
base::Status CheckDelta(const Recipe::Privacy& privacy, const char* key, double delta) {
  const double units = static_cast<double>(privacy.nominal_units);
  std::array<char, 32> most{};  // a bit less, so that what is shown would do
  std::snprintf(most.data(), most.size(), "%.3g", 0.99 / units);
  if (delta * units < 1 || privacy.allow_large_delta) return {};
  return base::Fail(base::Code::kInvalidArgument,
                    "'" + std::string(key) +
                        "' is one over 'privacy.nominal_units' or more, with which a "
                        "mechanism may publish somebody's record: lower it to " +
                        most.data() + " or less, or write privacy.allow_large_delta: true");
}

base::Status ReadPrivacy(const FlatRecipe& flat, Recipe& recipe) {
  Recipe::Privacy privacy;
  if (flat.contains("privacy.noise_multiplier")) {
    privacy.noise_multiplier = Get<double>(flat, "privacy.noise_multiplier");
  }
  if (flat.contains("privacy.target_epsilon")) {
    privacy.target_epsilon = Get<double>(flat, "privacy.target_epsilon");
  }
  privacy.delta = Get<double>(flat, "privacy.delta");
  privacy.clip_norm = Get<double>(flat, "privacy.clip_norm");
  privacy.sampling_rate = Get<double>(flat, "privacy.sampling_rate");
  auto unit = dp::ParseUnit(Get<std::string>(flat, "privacy.unit"));
  if (!unit) return base::Annotate(std::move(unit), "'privacy.unit'");
  privacy.unit = *unit;
  auto neighbours = dp::ParseNeighbours(Get<std::string>(flat, "privacy.neighbours"));
  if (!neighbours) return base::Annotate(std::move(neighbours), "'privacy.neighbours'");
  privacy.neighbours = *neighbours;
  privacy.matrix = ReadMatrixFactorization(flat);
  CLOISTER_RETURN_IF_ERROR(CheckNeighbours(privacy));
  CLOISTER_RETURN_IF_ERROR(ReadClipping(flat, privacy));
  privacy.nominal_units = Get<std::int64_t>(flat, "privacy.nominal_units");
  privacy.allow_large_delta = Get<bool>(flat, "privacy.allow_large_delta");
  CLOISTER_RETURN_IF_ERROR(CheckDelta(privacy, "privacy.delta", privacy.delta));
  privacy.nominal_tokens =
      Get<std::int64_t>(flat, "privacy.nominal_tokens", recipe.data.max_tokens);
  privacy.max_records_per_unit = Get<std::int64_t>(flat, "privacy.max_records_per_unit");
  if (privacy.max_records_per_unit > 0 && privacy.unit != dp::PrivacyUnit::kUser) {
    return base::Fail(base::Code::kInvalidArgument,
                      "'privacy.max_records_per_unit' goes with 'privacy.unit' user alone");
  }
  privacy.ledger = Get<std::string>(flat, "privacy.ledger");
  privacy.budget_epsilon = Get<double>(flat, "privacy.budget_epsilon");
  privacy.budget_delta = Get<double>(flat, "privacy.budget_delta");
  CLOISTER_RETURN_IF_ERROR(CheckDelta(privacy, "privacy.budget_delta", privacy.budget_delta));
  recipe.privacy = privacy;
  return privacy.matrix ? CheckMatrixFactorization(recipe) : base::Status();
}

// A run's output is renamed to its place whole, which checkpoints within it would prevent.
base::Status CheckApart(const Recipe& recipe) {
  const auto absolute = [](const std::filesystem::path& path) {
    std::error_code ignored;
    const std::filesystem::path whole = std::filesystem::absolute(path, ignored).lexically_normal();
    return (whole / "").string();  // so that "a" does not begin "ab"
  };
  const std::string output = absolute(recipe.output);
  const std::string folder = absolute(recipe.checkpoints->folder);
  if (!folder.starts_with(output) && !output.starts_with(folder)) return {};
  return base::Fail(base::Code::kInvalidArgument,
                    "'checkpoints.folder' and 'output' must not lie in one another: name a folder "
                    "beside the output");
}

std::string Joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : "; ") + part;
  return text;
}

}  // namespace

base::Result<Recipe> LoadRecipe(const std::filesystem::path& path,
                                std::span<const std::string> overrides) {
  const std::string where = "recipe " + path.string();
  auto text = base::ReadFile(path, std::size_t{1} << 20);
  if (!text) {  // the command names it: wrong usage, like a wrong key
    return base::Fail(base::Code::kInvalidArgument,
                      where + ": " + text.error().message + " (configs/ has recipes to copy)");
  }
  auto flat = Flatten(*text, overrides);
  if (!flat) return base::Annotate(std::move(flat), where);
  std::vector<std::string> faults = Faults(*flat, kFields);
  for (std::string& fault : MissingKeys(*flat)) faults.push_back(std::move(fault));
  if (!faults.empty())
    return base::Fail(base::Code::kInvalidArgument, where + ": " + Joined(faults));
  Recipe recipe = ReadValues(*flat);
  for (const auto read :
       {ReadPrecision, ReadDevice, ReadOptimisation, ReadSchedule, ReadEvaluation}) {
    if (auto status = read(*flat, recipe); !status) {
      return base::Annotate(std::move(status), where);
    }
  }
  if (recipe.checkpoints) {
    if (auto status = CheckApart(recipe); !status) {
      return base::Annotate(std::move(status), where);
    }
  }
  if (HasPrivacy(*flat)) {
    if (auto status = ReadPrivacy(*flat, recipe); !status) {
      return base::Annotate(std::move(status), where);
    }
  }
  return recipe;
}

}  // namespace cloister::trainer
