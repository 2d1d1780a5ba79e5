#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "model/architecture.h"
#include "model/config/json_reader.h"
#include "model/model_files.h"
#include "tests/model/fixture_folders.h"
#include "tests/model/test_models.h"

namespace cloister::model {
namespace {

using base::Code;
using nlohmann::json;

// DeepSeek-V3's published config.json with small numbers.
json DeepSeekV3() {
  return {{"model_type", "deepseek_v3"},
          {"vocab_size", 160},
          {"hidden_size", 64},
          {"intermediate_size", 96},
          {"moe_intermediate_size", 32},
          {"num_hidden_layers", 3},
          {"num_nextn_predict_layers", 1},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 4},
          {"n_shared_experts", 1},
          {"n_routed_experts", 8},
          {"ep_size", 1},
          {"routed_scaling_factor", 2.5},
          {"kv_lora_rank", 32},
          {"q_lora_rank", 24},
          {"qk_rope_head_dim", 16},
          {"v_head_dim", 12},
          {"qk_nope_head_dim", 8},
          {"topk_method", "noaux_tc"},
          {"n_group", 4},
          {"topk_group", 2},
          {"num_experts_per_tok", 2},
          {"moe_layer_freq", 1},
          {"first_k_dense_replace", 1},
          {"norm_topk_prob", true},
          {"scoring_func", "sigmoid"},
          {"hidden_act", "silu"},
          {"max_position_embeddings", 512},
          {"rms_norm_eps", 1e-6},
          {"rope_theta", 10000},
          {"rope_scaling",
           {{"type", "yarn"},
            {"factor", 4},
            {"original_max_position_embeddings", 128},
            {"beta_fast", 32},
            {"beta_slow", 1},
            {"mscale", 1.0},
            {"mscale_all_dim", 1.0}}},
          {"attention_bias", false},
          {"tie_word_embeddings", false},
          {"torch_dtype", "bfloat16"},
          {"auto_map", {{"AutoConfig", "configuration_deepseek.DeepseekV3Config"}}},
          {"quantization_config",
           {{"quant_method", "fp8"},
            {"fmt", "e4m3"},
            {"activation_scheme", "dynamic"},
            {"scale_fmt", "ue8m0"},
            {"weight_block_size", {128, 128}}}}};
}

json Qwen2() {
  return {{"model_type", "qwen2"},      {"vocab_size", 160},
          {"hidden_size", 64},          {"intermediate_size", 96},
          {"num_hidden_layers", 4},     {"num_attention_heads", 4},
          {"num_key_value_heads", 2},   {"max_position_embeddings", 512},
          {"max_window_layers", 2},     {"sliding_window", 16},
          {"use_sliding_window", true}, {"use_mrope", false},
          {"rms_norm_eps", 1e-6},       {"rope_theta", 1000000.0}};
}

TEST(ConfigOfAFamily, ReadsDeepSeekV3AsPublished) {
  const auto a = ArchitectureFromConfig(DeepSeekV3());
  ASSERT_TRUE(a) << a.error().message;
  EXPECT_EQ(a->head_dim, 24);
  EXPECT_EQ(a->attended_size(), 48);
  EXPECT_EQ(a->rotary_dim(), 16);
  EXPECT_EQ(a->rope.layout, Rope::Layout::kInterleaved);
  EXPECT_EQ(a->experts->gate, Experts::Gate::kSigmoid);
  EXPECT_EQ(a->experts->group_score, Experts::GroupScore::kTwoBest);
  EXPECT_TRUE(a->experts->correction_bias);
  EXPECT_FALSE(a->has_experts(0));
  EXPECT_TRUE(a->has_experts(2));
  // mscale_all_dim: (0.1 ln 4 + 1)² / sqrt(24); both mscales equal, so nothing is rotated larger.
  const double mscale = 0.1 * std::log(4.0) + 1.0;
  EXPECT_DOUBLE_EQ(a->score_scale(), mscale * mscale / std::sqrt(24.0));
  EXPECT_DOUBLE_EQ(a->rope.RotationScale(), 1.0);
}

TEST(ConfigOfAFamily, FieldsAbsentInV3MeanSigmoidGatesAndNoauxTc) {
  json config = DeepSeekV3();
  config.erase("scoring_func");
  config.erase("topk_method");
  EXPECT_EQ(*ArchitectureFromConfig(config), *ArchitectureFromConfig(DeepSeekV3()));
}

TEST(ConfigOfAFamily, GroupsAbsentInV3AreThoseOfItsPublishedSizes) {
  json config = DeepSeekV3();
  config["n_routed_experts"] = 16;
  config.erase("n_group");
  config.erase("topk_group");
  const auto a = ArchitectureFromConfig(config);
  ASSERT_TRUE(a) << a.error().message;
  EXPECT_EQ(a->experts->groups, 8);
  EXPECT_EQ(a->experts->groups_per_token, 4);
}

TEST(ConfigOfAFamily, TheNumberOfProposingLayersChangesNothing) {
  json config = DeepSeekV3();
  config["num_nextn_predict_layers"] = 0;
  EXPECT_EQ(*ArchitectureFromConfig(config), *ArchitectureFromConfig(DeepSeekV3()));
}

TEST(ConfigOfAFamily, SlidingWindowsFollowQwensSwitch) {
  json config = Qwen2();
  auto a = ArchitectureFromConfig(config);
  ASSERT_TRUE(a) << a.error().message;
  EXPECT_TRUE(a->qkv_bias);
  EXPECT_FALSE(a->attention_output_bias);
  EXPECT_EQ(a->window_of(1), 0);
  EXPECT_EQ(a->window_of(2), 16);
  config["use_sliding_window"] = false;
  EXPECT_TRUE(ArchitectureFromConfig(config)->sliding_layers.empty());
  config = Qwen2();
  config["layer_types"] = {"sliding_attention", "full_attention", "full_attention",
                           "full_attention"};
  EXPECT_EQ(ArchitectureFromConfig(config)->window_of(0), 16);
  EXPECT_EQ(ArchitectureFromConfig(config)->window_of(3), 0);
}

TEST(ConfigOfAFamily, MistralSlidesEverywhereUnlessItsWindowIsNull) {
  json config = Qwen2();
  config["model_type"] = "mistral";
  EXPECT_EQ(ArchitectureFromConfig(config)->window_of(0), 16);
  config["sliding_window"] = nullptr;
  EXPECT_TRUE(ArchitectureFromConfig(config)->sliding_layers.empty());
  config.erase("sliding_window");
  EXPECT_EQ(ArchitectureFromConfig(config)->window_of(3), 4096);  // MistralConfig's default
}

TEST(ConfigOfAFamily, Qwen3HasNormsAndHeadsOf128UnlessTold) {
  json config = Qwen2();
  config["model_type"] = "qwen3";
  const auto a = ArchitectureFromConfig(config);
  EXPECT_TRUE(a->qk_norm);
  EXPECT_FALSE(a->qkv_bias);
  EXPECT_EQ(a->head_dim, 128);
  config["head_dim"] = 32;
  EXPECT_EQ(ArchitectureFromConfig(config)->head_dim, 32);
}

TEST(ConfigOfAFamily, OldAndNewSpellingsOfRopeAreTheSame) {
  json old_spelling = DeepSeekV3();
  json new_spelling = DeepSeekV3();
  new_spelling["rope_parameters"] = new_spelling["rope_scaling"];
  new_spelling["rope_parameters"].erase("type");
  new_spelling["rope_parameters"]["rope_type"] = "yarn";
  new_spelling["rope_parameters"]["rope_theta"] = 10000;
  new_spelling.erase("rope_scaling");
  new_spelling.erase("rope_theta");
  EXPECT_EQ(*ArchitectureFromConfig(old_spelling), *ArchitectureFromConfig(new_spelling));
}

struct Refusal {
  std::string name;  // what the message must tell
  Code code;
  std::function<void(json&)> change;
};

TEST(ConfigOfAFamily, NamesContradictionsAndUnknownFields) {
  const std::vector<Refusal> refusals = {
      {"qk_head_dim", Code::kDataLoss, [](json& c) { c["qk_head_dim"] = 25; }},
      {"kv_lora_rank", Code::kDataLoss, [](json& c) { c.erase("kv_lora_rank"); }},
      {"q_lora_rank", Code::kDataLoss, [](json& c) { c["q_lora_rank"] = 0; }},
      {"num_key_value_heads", Code::kDataLoss, [](json& c) { c["num_key_value_heads"] = 2; }},
      {"scoring_func", Code::kDataLoss, [](json& c) { c["scoring_func"] = "softmax"; }},
      {"topk_method", Code::kDataLoss, [](json& c) { c["topk_method"] = "greedy"; }},
      {"n_group", Code::kDataLoss, [](json& c) { c["n_group"] = 3; }},
      {"n_group", Code::kDataLoss, [](json& c) { c["n_group"] = 8; }},
      {"topk_group", Code::kDataLoss, [](json& c) { c["topk_group"] = 5; }},
      {"num_experts_per_tok", Code::kDataLoss, [](json& c) { c["num_experts_per_tok"] = 5; }},
      {"num_experts_per_tok", Code::kDataLoss, [](json& c) { c.erase("num_experts_per_tok"); }},
      {"n_routed_experts", Code::kDataLoss, [](json& c) { c["num_experts"] = 16; }},
      {"n_routed_experts", Code::kDataLoss,
       [](json& c) { c["n_routed_experts"] = std::int64_t{1} << 40; }},
      {"moe_layer_freq", Code::kUnimplemented, [](json& c) { c["moe_layer_freq"] = 2; }},
      {"routed_scaling_factor", Code::kDataLoss, [](json& c) { c["routed_scaling_factor"] = 0; }},
      {"mlp_layer_types", Code::kDataLoss,
       [](json& c) {
         c["mlp_layer_types"] = {"sparse", "sparse", "sparse"};
       }},
      {"index_topk", Code::kUnimplemented, [](json& c) { c["index_topk"] = 2048; }},
      {"quant_method", Code::kUnimplemented,
       [](json& c) { c["quantization_config"]["quant_method"] = "awq"; }},
      {"weight_block_size", Code::kDataLoss,
       [](json& c) {
         c["quantization_config"]["weight_block_size"] = {128, 0};
       }},
      {"beta_slow", Code::kDataLoss, [](json& c) { c["rope_scaling"]["beta_slow"] = 64; }},
      {"mscale", Code::kDataLoss, [](json& c) { c["rope_scaling"]["mscale"] = -1; }},
      {"factor", Code::kDataLoss, [](json& c) { c["rope_scaling"]["factor"] = 0.5; }},
      {"rope_theta", Code::kDataLoss,
       [](json& c) { c["rope_theta"] = 5, c["rope_scaling"]["rope_theta"] = 6; }},
      {"original_max_position_embeddings", Code::kDataLoss,
       [](json& c) { c["original_max_position_embeddings"] = 7; }},
  };
  for (const Refusal& refusal : refusals) {
    json config = DeepSeekV3();
    refusal.change(config);
    const auto a = ArchitectureFromConfig(config);
    ASSERT_FALSE(a) << refusal.name << config.dump();
    EXPECT_EQ(a.error().code, refusal.code) << a.error().message;
    EXPECT_NE(a.error().message.find(refusal.name), std::string::npos) << a.error().message;
  }
  json config = Qwen2();
  config["layer_types"] = {"sliding_attention"};
  EXPECT_NE(ArchitectureFromConfig(config).error().message.find("layer_types"), std::string::npos);
  config["layer_types"] = {"sliding_attention", "full_attention", "full_attention",
                           "chunked_attention"};
  EXPECT_EQ(ArchitectureFromConfig(config).error().code, Code::kUnimplemented);
  config.erase("layer_types");
  config["sliding_window"] = nullptr;
  EXPECT_NE(ArchitectureFromConfig(config).error().message.find("sliding_window"),
            std::string::npos);
  config = Qwen2();
  config["model_type"] = "mistral";
  config["layer_types"] = {"full_attention", "full_attention", "sliding_attention",
                           "sliding_attention"};
  EXPECT_NE(ArchitectureFromConfig(config).error().message.find("layer_types"), std::string::npos);
  config = Qwen2();
  config["use_mrope"] = true;
  EXPECT_NE(ArchitectureFromConfig(config).error().message.find("use_mrope"), std::string::npos);
}

TEST(ConfigOfAFamily, WhatIsWrittenReadsBackAsTheSameNetwork) {
  std::vector<json> configs = {DeepSeekV3(), Qwen2()};
  for (const auto& folder : fixtures::FixtureFolders()) {
    configs.push_back(*ReadJsonObject(folder / "config.json"));
  }
  for (json config : std::vector(configs)) {
    if (config["model_type"] != "qwen2") continue;
    config["model_type"] = "qwen3";
    configs.push_back(config);
    config["model_type"] = "mistral";
    config.erase("layer_types");
    configs.push_back(config);
  }
  for (const json& config : configs) {
    const auto a = ArchitectureFromConfig(config);
    ASSERT_TRUE(a) << a.error().message << config.dump();
    const auto written = ConfigFromArchitecture(*a);
    ASSERT_TRUE(written) << written.error().message << config.dump();
    const auto again = ArchitectureFromConfig(json(*written));
    ASSERT_TRUE(again) << again.error().message << *written;
    EXPECT_EQ(*again, *a) << *written;
  }
}

TEST(RopeFrequencies, DynamicGrowsWithSequencesBeyondTheTrainingContext) {
  Rope rope;
  rope.type = Rope::Type::kDynamic;
  rope.factor = 2;
  rope.original_max_positions = 16;
  const std::vector<double> plain = Rope().InverseFrequencies(8);
  EXPECT_EQ(rope.InverseFrequencies(8, 16), plain);
  // transformers: theta * (2 * 24 / 16 - 1)^(8 / 6).
  Rope grown;
  grown.theta = 10000 * std::pow(2.0, 8.0 / 6.0);
  EXPECT_EQ(rope.InverseFrequencies(8, 24), grown.InverseFrequencies(8));
}

TEST(RopeFrequencies, YarnKeepsFastPairsAndDividesSlowOnes) {
  Rope rope;
  rope.type = Rope::Type::kYarn;
  rope.factor = 4;
  rope.original_max_positions = 128;
  const std::vector<double> divisors = rope.Divisors(16);
  EXPECT_DOUBLE_EQ(divisors.front(), 1.0);
  EXPECT_DOUBLE_EQ(divisors.back(), 4.0);
  EXPECT_TRUE(std::is_sorted(divisors.begin(), divisors.end()));
  EXPECT_DOUBLE_EQ(rope.RotationScale(), 0.1 * std::log(4.0) + 1.0);
}

}  // namespace
}  // namespace cloister::model
