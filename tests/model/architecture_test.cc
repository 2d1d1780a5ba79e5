#include "model/architecture.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "model/config/json_reader.h"
#include "tests/model/test_models.h"

namespace cloister::model {
namespace {

using base::Code;
using nlohmann::json;

json Config() { return *ReadJsonObject(testing::TiedFolder() / "config.json"); }

TEST(Architecture, ReadsBothSpellingsOfRope) {
  const json newer = Config();
  json older = newer;
  older["rope_theta"] = newer["rope_parameters"]["rope_theta"];
  older["rope_scaling"] = newer["rope_parameters"];
  older["rope_scaling"].erase("rope_theta");
  older["rope_scaling"]["type"] = "llama3";
  older["rope_scaling"].erase("rope_type");
  older.erase("rope_parameters");
  const auto a = ArchitectureFromConfig(newer);
  const auto b = ArchitectureFromConfig(older);
  ASSERT_TRUE(a) << a.error().message;
  ASSERT_TRUE(b) << b.error().message;
  EXPECT_EQ(*a, *b);
  EXPECT_EQ(a->rope.type, Rope::Type::kLlama3);
  EXPECT_EQ(a->rope.theta, 500000.0);
  EXPECT_TRUE(a->tie_word_embeddings);
}

TEST(Architecture, WritesAConfigThatReadsBackAsTheSame) {
  auto a = ArchitectureFromConfig(Config());
  ASSERT_TRUE(a);
  a->eos_token_ids = {2, 5, 7};
  a->bos_token_id = -1;
  const auto config = ConfigFromArchitecture(*a);
  ASSERT_TRUE(config);
  EXPECT_EQ(*ArchitectureFromConfig(json(*config)), *a);
}

TEST(Architecture, DefaultsHeadSizeAndKeyHeads) {
  json config = Config();
  config.erase("head_dim");
  config.erase("num_key_value_heads");
  const auto a = ArchitectureFromConfig(config);
  ASSERT_TRUE(a);
  EXPECT_EQ(a->head_dim, 16);
  EXPECT_EQ(a->num_kv_heads, 4);
}

struct Refusal {
  std::string name;  // the word that the message must hold
  Code code;
  std::function<void(json&)> change;
};

TEST(Architecture, NamesWhatItRefuses) {
  const std::vector<Refusal> refusals = {
      {"gemma2", Code::kUnimplemented, [](json& c) { c["model_type"] = "gemma2"; }},
      {"final_logit_softcapping", Code::kUnimplemented,
       [](json& c) { c["final_logit_softcapping"] = 30.0; }},
      {"model_type", Code::kDataLoss, [](json& c) { c.erase("model_type"); }},
      {"attention_bias", Code::kUnimplemented,
       [](json& c) {
         c["model_type"] = "mistral";
         c["attention_bias"] = true;
       }},
      {"rope_parameters.zoom", Code::kUnimplemented,
       [](json& c) { c["rope_parameters"]["zoom"] = 2; }},
      {"rope_scaling.factor", Code::kDataLoss,
       [](json& c) {
         c["rope_scaling"] = {{"factor", 3.0}};
       }},
      {"gelu", Code::kUnimplemented, [](json& c) { c["hidden_act"] = "gelu"; }},
      {"longrope", Code::kUnimplemented,
       [](json& c) { c["rope_parameters"]["rope_type"] = "longrope"; }},
      {"factor", Code::kDataLoss, [](json& c) { c["rope_parameters"].erase("factor"); }},
      {"hidden_size", Code::kDataLoss, [](json& c) { c.erase("hidden_size"); }},
      {"hidden_size", Code::kDataLoss, [](json& c) { c["hidden_size"] = -64; }},
      {"hidden_size", Code::kDataLoss, [](json& c) { c["hidden_size"] = "64"; }},
      {"num_hidden_layers", Code::kDataLoss,
       [](json& c) { c["num_hidden_layers"] = std::int64_t{1} << 62; }},
      {"num_hidden_layers is 0, but must lie in 1 … 4096: correct it or fetch the model again",
       Code::kDataLoss, [](json& c) { c["num_hidden_layers"] = 0; }},
      {"num_key_value_heads", Code::kDataLoss, [](json& c) { c["num_key_value_heads"] = 3; }},
      {"head_dim", Code::kDataLoss, [](json& c) { c["head_dim"] = 15; }},
      {"rms_norm_eps", Code::kDataLoss, [](json& c) { c["rms_norm_eps"] = 0.0; }},
      {"bos_token_id", Code::kDataLoss, [](json& c) { c["bos_token_id"] = 160; }},
      {"eos_token_id", Code::kDataLoss,
       [](json& c) {
         c["eos_token_id"] = {1, 160};
       }},
      {"quantization_config", Code::kUnimplemented,
       [](json& c) {
         c["quantization_config"] = {{"bits", 4}};
       }},
  };
  for (const Refusal& refusal : refusals) {
    json config = Config();
    refusal.change(config);
    const auto a = ArchitectureFromConfig(config);
    ASSERT_FALSE(a) << refusal.name;
    EXPECT_EQ(a.error().code, refusal.code) << refusal.name;
    EXPECT_NE(a.error().message.find(refusal.name), std::string::npos) << a.error().message;
  }
}

TEST(Rope, Llama3KeepsHighFrequenciesAndDividesLowOnes) {
  Rope rope;
  rope.theta = 500000;
  const std::vector<double> plain = rope.InverseFrequencies(64);
  rope.type = Rope::Type::kLlama3;
  rope.factor = 8;
  rope.original_max_positions = 8192;
  const std::vector<double> scaled = rope.InverseFrequencies(64);
  EXPECT_DOUBLE_EQ(plain[0], 1.0);
  EXPECT_DOUBLE_EQ(scaled[0], plain[0]);
  EXPECT_DOUBLE_EQ(scaled[31], plain[31] / 8);
  bool between = false;
  for (std::size_t i = 0; i < plain.size(); ++i) {
    between |= scaled[i] < plain[i] * 0.99 && scaled[i] > plain[i] / 7.9;
  }
  EXPECT_TRUE(between);
}

TEST(Rope, DivisorsOfARampAreRecognisedAndOthersKept) {
  Rope ramp;
  ramp.type = Rope::Type::kLlama3;
  ramp.theta = 500000;
  ramp.factor = 32;
  ramp.original_max_positions = 8192;
  std::vector<double> divisors = ramp.Divisors(64);
  for (double& d : divisors) d = static_cast<float>(d);
  EXPECT_EQ(RopeFromDivisors(500000, divisors), ramp);
  EXPECT_EQ(RopeFromDivisors(10000, std::vector<double>(32, 1.0)).type, Rope::Type::kDefault);
  divisors[3] = 1.5;
  const Rope other = RopeFromDivisors(500000, divisors);
  EXPECT_EQ(other.type, Rope::Type::kDivisors);
  EXPECT_DOUBLE_EQ(other.InverseFrequencies(64)[3], std::pow(500000, -6.0 / 64) / 1.5);
}

}  // namespace
}  // namespace cloister::model
