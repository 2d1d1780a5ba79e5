#include "model/adapter.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "base/file.h"
#include "model/config/json_reader.h"
#include "model/merge.h"
#include "model/quantize.h"
#include "tests/base/temporary_folder.h"
#include "tests/model/test_models.h"

namespace cloister::model {
namespace {

using base::Code;
using testing::TemporaryFolder;

Architecture Llama() { return *(*ModelFiles::Open(testing::LlamaFolder()))->architecture(); }

LoraConfig Config() {
  LoraConfig config;
  config.rank = 2;
  config.alpha = 6;
  config.targets = {"v_proj", "q_proj", "down_proj"};
  return config;
}

// A whole adapter with B not zero.
std::vector<float> Parameters(const LoraConfig& config) {
  const auto layout = AdapterLayout(config, Llama());
  std::vector<float> parameters = InitialAdapter(layout, 3);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (parameters[i] == 0) parameters[i] = 0.01f * static_cast<float>(i % 13) - 0.05f;
  }
  return parameters;
}

TEST(AdapterLayout, IsContiguousInTheOrderOfLayersAndTargets) {
  const auto layout = AdapterLayout(Config(), Llama());
  ASSERT_EQ(layout.size(), 12u);
  EXPECT_EQ(layout[0].name, "base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight");
  EXPECT_EQ(layout[0].target, "model.layers.0.self_attn.v_proj.weight");
  EXPECT_EQ(layout[5].name, "base_model.model.model.layers.0.mlp.down_proj.lora_B.weight");
  std::int64_t offset = 0;
  for (const AdapterTensor& tensor : layout) {
    EXPECT_EQ(tensor.offset, offset);
    EXPECT_EQ(tensor.is_a ? tensor.rows : tensor.columns, 2);
    offset += tensor.rows * tensor.columns;
  }
  EXPECT_EQ(AdapterSize(layout), offset);
}

TEST(AdapterLayout, StartsAtTheFirstLayer) {
  LoraConfig config = Config();
  config.first_layer = 1;
  const auto layout = AdapterLayout(config, Llama());
  ASSERT_EQ(layout.size(), 6u);
  EXPECT_EQ(layout[0].target, "model.layers.1.self_attn.v_proj.weight");
  config.first_layer = 2;
  EXPECT_EQ(Validate(config, Llama()).error().code, Code::kInvalidArgument);
}

Architecture DeepSeek(const char* name) {
  return *(*ModelFiles::Open(std::string(CLOISTER_TEST_DATA) + "/models/" + name))->architecture();
}

TEST(AdapterLayout, ListsWhatEachLayerHas) {
  LoraConfig config = Config();
  config.targets = {"q_b_proj", "gate_proj", "kv_b_proj"};
  const Architecture v3 = DeepSeek("deepseek-v3");
  ASSERT_FALSE(v3.has_experts(0));
  ASSERT_TRUE(v3.has_experts(1));
  std::vector<std::string> modules;
  for (const AdapterTensor& tensor : AdapterLayout(config, v3)) {
    if (tensor.is_a) modules.push_back(tensor.target);
  }
  EXPECT_EQ(modules, (std::vector<std::string>{"model.layers.0.self_attn.q_b_proj.weight",
                                               "model.layers.0.mlp.gate_proj.weight",
                                               "model.layers.0.self_attn.kv_b_proj.weight",
                                               "model.layers.1.self_attn.q_b_proj.weight",
                                               "model.layers.1.mlp.shared_experts.gate_proj.weight",
                                               "model.layers.1.self_attn.kv_b_proj.weight"}));
}

TEST(AdapterLayout, AsksForATargetOnSomeAdaptedLayer) {
  LoraConfig config = Config();
  config.targets = {"q_proj"};
  EXPECT_TRUE(Validate(config, DeepSeek("deepseek-v2")));  // no query latent
  const auto refused = Validate(config, DeepSeek("deepseek-v3"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
  EXPECT_NE(refused.error().message.find("q_a_proj, q_b_proj, kv_a_proj_with_mqa"),
            std::string::npos)
      << refused.error().message;
  Architecture unshared = DeepSeek("deepseek-v3");
  unshared.experts->shared = 0;
  config.targets = {"gate_proj"};
  EXPECT_TRUE(Validate(config, unshared));  // the dense layer has it
  config.first_layer = 1;
  EXPECT_FALSE(Validate(config, unshared));
}

TEST(InitialAdapter, IsReproducibleBoundedAndLeavesBZero) {
  const auto layout = AdapterLayout(Config(), Llama());
  const std::vector<float> first = InitialAdapter(layout, 1);
  EXPECT_EQ(first, InitialAdapter(layout, 1));
  EXPECT_NE(first, InitialAdapter(layout, 2));
  for (const AdapterTensor& tensor : layout) {
    double square = 0;
    for (std::int64_t i = 0; i < tensor.rows * tensor.columns; ++i) {
      const float value = first[static_cast<std::size_t>(tensor.offset + i)];
      square += value * value;
      ASSERT_LE(std::fabs(value), 1 / std::sqrt(static_cast<double>(tensor.columns)));
    }
    EXPECT_EQ(square == 0, !tensor.is_a);
  }
}

TEST(Adapter, SurvivesAFolder) {
  TemporaryFolder folder;
  for (const std::int64_t first_layer : {0, 1}) {
    LoraConfig config = Config();
    config.first_layer = first_layer;
    const std::vector<float> parameters = Parameters(config);
    ASSERT_TRUE(SaveAdapter(folder / "a", config, Llama(), parameters, "base"));
    const auto loaded = LoadAdapter(folder / "a", Llama());
    ASSERT_TRUE(loaded) << loaded.error().message;
    EXPECT_EQ(loaded->config, config);
    EXPECT_EQ(loaded->parameters, parameters);
    const auto fields = *ReadJsonObject(folder / "a" / "adapter_config.json");
    EXPECT_EQ(fields["peft_type"], "LORA");
    EXPECT_EQ(fields["task_type"], "CAUSAL_LM");
    EXPECT_EQ(fields["base_model_name_or_path"], "base");
    EXPECT_EQ(fields.contains("layers_to_transform"), first_layer > 0);
  }
}

TEST(Adapter, NamesWhatItRefuses) {
  using Change = std::function<void(nlohmann::json&)>;
  const std::vector<std::tuple<std::string, Code, Change>> refusals = {
      {"DoRA is not supported", Code::kUnimplemented, [](auto& c) { c["use_dora"] = true; }},
      {"fan_in_fan_out", Code::kUnimplemented, [](auto& c) { c["fan_in_fan_out"] = true; }},
      {"lora_bias", Code::kUnimplemented, [](auto& c) { c["lora_bias"] = true; }},
      {"a_field_of_tomorrow", Code::kUnimplemented, [](auto& c) { c["a_field_of_tomorrow"] = 1; }},
      {"trainable_token_indices", Code::kUnimplemented,
       [](auto& c) {
         c["trainable_token_indices"] = {1, 2};
       }},
      {"bias 'all'", Code::kUnimplemented, [](auto& c) { c["bias"] = "all"; }},
      {"IA3", Code::kUnimplemented, [](auto& c) { c["peft_type"] = "IA3"; }},
      {"pissa", Code::kUnimplemented, [](auto& c) { c["init_lora_weights"] = "pissa"; }},
      {"layers_pattern", Code::kUnimplemented,
       [](auto& c) {
         c["layers_to_transform"] = {0, 1}, c["layers_pattern"] = "blocks";
       }},
      {"field r must", Code::kDataLoss, [](auto& c) { c["r"] = 0; }},
      {"field r is missing", Code::kDataLoss, [](auto& c) { c.erase("r"); }},
      {"lora_alpha", Code::kDataLoss, [](auto& c) { c["lora_alpha"] = -1; }},
      {"rank_pattern", Code::kDataLoss,
       [](auto& c) {
         c["rank_pattern"] = {{"q_proj", "2"}};
       }},
      {"is broken", Code::kDataLoss, [](auto& c) { c["target_modules"] = "(q_proj"; }},
      {"too many steps", Code::kDataLoss,
       [](auto& c) { c["target_modules"] = "(a|.)*(.*)*(.*)*[A-Z]"; }},
      {"beside a pattern", Code::kDataLoss,
       [](auto& c) { c["target_modules"] = ".*q_proj", c["layers_to_transform"] = {0}; }},
      {"for lm_head", Code::kDataLoss, [](auto& c) { c["target_modules"] = {"lm_head"}; }},
      {"does not name", Code::kDataLoss, [](auto& c) { c["target_modules"] = {"other"}; }},
      {"must be 3 x 64 and is 2 x 64", Code::kDataLoss, [](auto& c) { c["r"] = 3; }},
      {"the adapter is incomplete", Code::kDataLoss,
       [](auto& c) { c["target_modules"].push_back("k_proj"); }},
      {"'q_proj' is listed twice: name it once", Code::kDataLoss,
       [](auto& c) { c["target_modules"].push_back("q_proj"); }},
      {"does not name", Code::kDataLoss, [](auto& c) { c["target_modules"].erase(0); }},
      {"does not name", Code::kDataLoss, [](auto& c) { c["layers_to_transform"] = 1; }},
      {"no tensor for model.norm.weight", Code::kDataLoss,
       [](auto& c) { c["modules_to_save"] = {"model.norm"}; }},
  };
  TemporaryFolder folder;
  ASSERT_TRUE(SaveAdapter(folder / "a", Config(), Llama(), Parameters(Config()), "base"));
  const auto good = *ReadJsonObject(folder / "a" / "adapter_config.json");
  for (const auto& [words, code, change] : refusals) {
    nlohmann::json fields = good;
    change(fields);
    ASSERT_TRUE(base::WriteFile(folder / "a" / "adapter_config.json", fields.dump()));
    const auto loaded = LoadAdapter(folder / "a", Llama());
    ASSERT_FALSE(loaded) << words;
    EXPECT_EQ(loaded.error().code, code) << loaded.error().message;
    EXPECT_NE(loaded.error().message.find(words), std::string::npos) << loaded.error().message;
  }
}

TEST(Adapter, IsReadFromWhateverNamesItsModules) {
  using Change = std::function<void(nlohmann::json&)>;
  const std::vector<Change> spellings = {
      [](auto& c) {
        c["target_modules"] = {"mlp.down_proj", "self_attn.q_proj", "v_proj"};
      },
      [](auto& c) { c["target_modules"] = ".*\\.(v_proj|q_proj|down_proj)"; },
      [](auto& c) { c["target_modules"] = "model\\.layers\\.\\d+\\..*(v|q|down)_proj"; },
      [](auto& c) { c["target_modules"].push_back("of_another_family"); },
      [](auto& c) {
        c["target_modules"] = "all-linear";
        c["exclude_modules"] = ".*(k_proj|o_proj|gate_proj|up_proj)";
      },
      [](auto& c) {
        c["layers_to_transform"] = {1, 0}, c["layers_pattern"] = {"layers"};
      },
      [](auto& c) {
        c["lora_dropout"] = 0.1, c["eva_config"] = {{"rho", 2}};
      },
  };
  TemporaryFolder folder;
  const std::vector<float> parameters = Parameters(Config());
  ASSERT_TRUE(SaveAdapter(folder / "a", Config(), Llama(), parameters, "base"));
  const auto good = *ReadJsonObject(folder / "a" / "adapter_config.json");
  for (std::size_t i = 0; i < spellings.size(); ++i) {
    nlohmann::json fields = good;
    spellings[i](fields);
    ASSERT_TRUE(base::WriteFile(folder / "a" / "adapter_config.json", fields.dump()));
    const auto loaded = LoadAdapter(folder / "a", Llama());
    ASSERT_TRUE(loaded) << i << ": " << loaded.error().message;
    const auto layout = AdapterLayout(loaded->config, Llama());
    ASSERT_EQ(layout.size(), 12u) << i;
    // The same matrices, wherever they lie in the vector.
    for (const AdapterTensor& wanted : AdapterLayout(Config(), Llama())) {
      for (const AdapterTensor& tensor : layout) {
        if (tensor.name != wanted.name) continue;
        EXPECT_TRUE(std::equal(parameters.begin() + wanted.offset,
                               parameters.begin() + wanted.offset + wanted.rows * wanted.columns,
                               loaded->parameters.begin() + tensor.offset))
            << i << ": " << tensor.name;
      }
    }
  }
}

TEST(Adapter, ThatCannotBeTrainedSaysWhyAndIsMergedAllTheSame) {
  TemporaryFolder folder;
  ASSERT_TRUE(SaveAdapter(folder / "a", Config(), Llama(), Parameters(Config()), "base"));
  auto fields = *ReadJsonObject(folder / "a" / "adapter_config.json");
  fields["alpha_pattern"] = {{"q_proj", 1}};
  ASSERT_TRUE(base::WriteFile(folder / "a" / "adapter_config.json", fields.dump()));
  const auto loaded = LoadAdapter(folder / "a", Llama());
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, Code::kUnimplemented);
  EXPECT_NE(loaded.error().message.find("alpha_pattern"), std::string::npos);
  EXPECT_TRUE(Merge(testing::LlamaFolder(), folder / "a", folder / "m", std::nullopt));
}

TEST(Adapter, ScalesByTheRootOfTheRankWhereStabilized) {
  LoraConfig config = Config();
  config.rank_stabilized = true;
  EXPECT_NEAR(config.scale(), 6 / std::sqrt(2.0), 1e-12);
  TemporaryFolder folder;
  ASSERT_TRUE(SaveAdapter(folder / "a", config, Llama(), Parameters(config), "base"));
  EXPECT_EQ((*ReadJsonObject(folder / "a" / "adapter_config.json"))["use_rslora"], true);
  EXPECT_EQ(LoadAdapter(folder / "a", Llama())->config, config);
}

TEST(Adapter, OfANetworkWithExpertsSurvivesAFolder) {
  TemporaryFolder folder;
  const Architecture v3 = DeepSeek("deepseek-v3");
  LoraConfig config = Config();
  config.targets = {"kv_b_proj", "o_proj", "gate_proj", "down_proj"};
  config.first_layer = 1;
  std::vector<float> parameters = InitialAdapter(AdapterLayout(config, v3), 5);
  ASSERT_TRUE(SaveAdapter(folder / "a", config, v3, parameters, "base"));
  const auto loaded = LoadAdapter(folder / "a", v3);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->config, config);
  EXPECT_EQ(loaded->parameters, parameters);
  // PEFT takes the names of MLPs for its stacks of experts.
  const auto fields = *ReadJsonObject(folder / "a" / "adapter_config.json");
  EXPECT_EQ(fields["target_modules"], nlohmann::json({"kv_b_proj", "o_proj"}));
  EXPECT_EQ(fields["target_parameters"],
            nlohmann::json({"model.layers.1.mlp.shared_experts.gate_proj.weight",
                            "model.layers.1.mlp.shared_experts.down_proj.weight"}));
}

TEST(Adapter, RefusesValuesThatAreNotFinite) {
  TemporaryFolder folder;
  std::vector<float> parameters = Parameters(Config());
  parameters[40] = std::nanf("");
  ASSERT_TRUE(SaveAdapter(folder / "a", Config(), Llama(), parameters, "base"));
  EXPECT_EQ(LoadAdapter(folder / "a", Llama()).error().code, Code::kDataLoss);
}

// W + scale * B A in fp64, from the files' values.
std::vector<double> Expected(const ModelFiles& model, const std::string& name,
                             const LoraConfig& config, const std::vector<float>& parameters) {
  const std::vector<float> weights = ToFloat(*model.Tensor(name));
  std::vector<double> merged(weights.begin(), weights.end());
  const float* a = nullptr;
  const float* b = nullptr;
  std::int64_t rows = 0, columns = 0;
  for (const AdapterTensor& tensor : AdapterLayout(config, Llama())) {
    if (tensor.target != name) continue;
    (tensor.is_a ? a : b) = parameters.data() + tensor.offset;
    (tensor.is_a ? columns : rows) = tensor.is_a ? tensor.columns : tensor.rows;
  }
  for (std::int64_t i = 0; a != nullptr && i < rows * columns; ++i) {
    for (std::int64_t r = 0; r < config.rank; ++r) {
      merged[static_cast<std::size_t>(i)] +=
          config.scale() * b[i / columns * config.rank + r] * a[r * columns + i % columns];
    }
  }
  return merged;
}

TEST(Merge, AddsTheScaledProductAndNothingElse) {
  TemporaryFolder folder;
  const std::vector<float> parameters = Parameters(Config());
  ASSERT_TRUE(SaveAdapter(folder / "a", Config(), Llama(), parameters, "base"));
  const auto source = *ModelFiles::Open(testing::LlamaFolder());
  for (const char* output : {"m.gguf", "hf"}) {
    const auto written = Merge(testing::LlamaFolder(), folder / "a", folder / output, std::nullopt);
    ASSERT_TRUE(written) << written.error().message;
    const auto merged = *ModelFiles::Open(folder / output);
    int changed = 0;
    for (const NamedShape& tensor : ExpectedTensors(Llama())) {
      const std::vector<float> values = ToFloat(*merged->Tensor(tensor.name));
      const auto expected = Expected(*source, tensor.name, Config(), parameters);
      for (std::size_t i = 0; i < values.size(); ++i) {
        ASSERT_NEAR(values[i], expected[i], 1e-6) << tensor.name << " " << i;
      }
      changed += values != ToFloat(*source->Tensor(tensor.name));
    }
    EXPECT_EQ(changed, 6);  // three targets in two layers
  }
}

TEST(Merge, KeepsBlocksExceptWhereItMerges) {
  TemporaryFolder folder;
  ASSERT_TRUE(QuantizeModel(testing::LlamaFolder(), folder / "q.gguf", DataType::kQ8_0));
  ASSERT_TRUE(SaveAdapter(folder / "a", Config(), Llama(), Parameters(Config()), "base"));
  ASSERT_TRUE(Merge(folder / "q.gguf", folder / "a", folder / "m.gguf", std::nullopt));
  const auto merged = *ModelFiles::Open(folder / "m.gguf");
  EXPECT_EQ(merged->Tensor("model.layers.0.self_attn.v_proj.weight")->type, DataType::kF32);
  EXPECT_EQ(merged->Tensor("model.layers.0.self_attn.k_proj.weight")->type, DataType::kQ8_0);
}

}  // namespace
}  // namespace cloister::model
