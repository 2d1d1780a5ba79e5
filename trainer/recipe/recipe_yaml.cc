#include <yaml-cpp/yaml.h>

#include <string>

#include "trainer/recipe/data_section.h"
#include "trainer/recipe/evaluation_section.h"
#include "trainer/recipe/mechanism_section.h"
#include "trainer/recipe/method_section.h"
#include "trainer/recipe/names.h"
#include "trainer/recipe/optimizer_section.h"
#include "trainer/recipe/recipe.h"

namespace cloister::trainer {

std::string ToYaml(const Recipe& recipe) {
  YAML::Node root;
  root["model"] = recipe.model.string();
  root["output"] = recipe.output.string();
  WriteData(recipe, root["data"]);
  WriteEvaluation(recipe, root);
  root["method"] = std::string(MethodName(recipe));
  if (recipe.lora) {
    const BaseWeights base = recipe.training.compute.base;
    if (base != BaseWeights::kDense) root["quantization"] = std::string(QuantizationName(base));
    YAML::Node lora = root["lora"];
    lora["rank"] = recipe.lora->rank;
    lora["alpha"] = NumberText(recipe.lora->alpha);
    if (recipe.lora_pattern.empty()) {
      lora["targets"] = recipe.lora->targets;
      lora["targets"].SetStyle(YAML::EmitterStyle::Flow);
    } else {
      lora["targets"] = recipe.lora_pattern;
    }
    lora["first_layer"] = recipe.lora->first_layer;
    lora["use_rslora"] = recipe.lora->rank_stabilized;
    lora["dropout"] = NumberText(recipe.lora->dropout);
    lora["seed"] = recipe.lora_seed;
  }
  YAML::Node optimizer = root["optimizer"];
  WriteOptimizer(recipe.optimizer, optimizer);
  optimizer["schedule"] = std::string(ShapeName(recipe.schedule.shape));
  optimizer["warmup_steps"] = recipe.schedule.warmup_steps;
  if (recipe.schedule.shape != Schedule::Shape::kConstant) {
    optimizer["final_share"] = NumberText(recipe.schedule.final_share);
  }
  YAML::Node training = root["training"];
  training["steps"] = recipe.training.steps;
  if (!recipe.privacy || recipe.privacy->matrix) {
    training["batch_size"] = recipe.training.batch_size;
    training["seed"] = recipe.training.seed;
  }
  training["micro_batch_tokens"] = recipe.training.micro_batch_tokens;
  training["threads"] = recipe.training.threads;
  training["eval_every"] = recipe.training.eval_every;
  if (!recipe.privacy) training["loss_mean"] = std::string(LossMeanName(recipe.training.loss_mean));
  if (recipe.training.ema_decay) training["ema_decay"] = NumberText(*recipe.training.ema_decay);
  if (recipe.training.max_grad_norm) {
    training["max_grad_norm"] = NumberText(*recipe.training.max_grad_norm);
  }
  training["activation_checkpointing"] = recipe.training.compute.activation_checkpointing;
  if (recipe.training.compute.shard_parameters) training["shard_parameters"] = true;
  training["device"] = recipe.training.compute.device;
  training["precision"] =
      std::string(kPrecisionNames[static_cast<std::size_t>(recipe.training.compute.precision)]);
  if (recipe.checkpoints) {
    YAML::Node checkpoints = root["checkpoints"];
    checkpoints["folder"] = recipe.checkpoints->folder.string();
    checkpoints["every"] = recipe.checkpoints->every;
    checkpoints["keep"] = recipe.checkpoints->keep;
    if (recipe.checkpoints->keep_best) checkpoints["keep_best"] = true;
    if (recipe.checkpoints->load_best_at_end) checkpoints["load_best_model_at_end"] = true;
  }
  if (recipe.privacy) {
    const Recipe::Privacy& from = *recipe.privacy;
    YAML::Node privacy = root["privacy"];
    if (from.noise_multiplier) privacy["noise_multiplier"] = NumberText(*from.noise_multiplier);
    if (from.target_epsilon) privacy["target_epsilon"] = NumberText(*from.target_epsilon);
    privacy["delta"] = NumberText(from.delta);
    if (from.allow_large_delta) privacy["allow_large_delta"] = true;
    privacy["clip_norm"] = NumberText(from.clip_norm);
    privacy["clipping"] = std::string(kClippingNames[static_cast<std::size_t>(from.clipping)]);
    if (from.clipping == Recipe::Clipping::kAutomatic)
      privacy["stability"] = NumberText(from.stability);
    if (from.adaptive) {
      YAML::Node adaptive = privacy["adaptive"];
      adaptive["quantile"] = NumberText(from.adaptive->quantile);
      adaptive["rate"] = NumberText(from.adaptive->rate);
      adaptive["count_noise_multiplier"] = NumberText(from.adaptive->count_noise_multiplier);
    }
    privacy["mechanism"] = std::string(MechanismName(from));
    if (from.matrix) {
      privacy["bands"] = from.matrix->bands;
      privacy["min_separation"] = from.matrix->min_separation;
      privacy["max_participations"] = from.matrix->max_participations;
    } else {
      privacy["sampling_rate"] = NumberText(from.sampling_rate);
    }
    privacy["unit"] = std::string(dp::UnitName(from.unit));
    privacy["neighbours"] = std::string(dp::NeighboursName(from.neighbours));
    privacy["nominal_units"] = from.nominal_units;
    privacy["nominal_tokens"] = from.nominal_tokens;
    if (from.max_records_per_unit > 0) {
      privacy["max_records_per_unit"] = from.max_records_per_unit;
    }
    privacy["ledger"] = from.ledger.string();
    privacy["budget_epsilon"] = NumberText(from.budget_epsilon);
    privacy["budget_delta"] = NumberText(from.budget_delta);
  }
  YAML::Emitter emitter;
  emitter << root;
  return std::string(emitter.c_str()) + "\n";
}

std::string PinnedRecipe(Recipe recipe) {
  recipe.model.clear();
  recipe.output.clear();
  recipe.data.train.clear();
  recipe.data.license.reset();
  recipe.data.eval_consent.reset();
  recipe.training.threads = 0;
  recipe.training.compute.shard_parameters = false;  // as the number of ranks
  recipe.checkpoints.reset();
  if (recipe.privacy) {
    recipe.privacy->ledger.clear();
  } else if (recipe.schedule.shape == Schedule::Shape::kConstant) {
    recipe.training.steps = 0;
  }
  // Steps that are gone on with in another order would meet some units too often.
  return ToYaml(recipe) + std::string(kOrder) + "\n";
}

}  // namespace cloister::trainer
