#include "inference/engine/engine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "tests/inference/synthetic_engine.h"

namespace cloister::inference {
namespace {

using kernels::cpu::Tier;
using model::DataType;
using model::TokenId;

struct Case {
  Tier tier;
  DataType type;
};

class EngineTest : public testing::TestWithParam<Case> {};

// More tokens than a pass takes, so that the boundary between passes is crossed too.
TEST_P(EngineTest, OnePrefillAndTokenByTokenGiveTheSameBits) {
  const auto engine = LoadEngine(Model(GetParam().type), {.tier = GetParam().tier});
  const std::vector<TokenId> ids = Ids(300);
  const auto together = AllLogits(*engine, ids);
  engine->Reset();
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto logits = engine->Decode(ids[i]);
    ASSERT_TRUE(logits);
    ASSERT_EQ(Copy(*logits), together[i]) << "position " << i;
  }
  engine->Reset();
  const auto prefill = engine->Prefill(std::span(ids).first(77));
  ASSERT_TRUE(prefill);
  EXPECT_EQ(Copy(*prefill), together[76]);
  EXPECT_EQ(engine->position(), 77);
}

TEST_P(EngineTest, ThreadsDoNotChangeTheBits) {
  const std::vector<TokenId> ids = Ids(40);
  const auto one =
      AllLogits(*LoadEngine(Model(GetParam().type), {.threads = 1, .tier = GetParam().tier}), ids);
  for (const int threads : {2, 3, 5}) {
    EXPECT_EQ(AllLogits(*LoadEngine(Model(GetParam().type),
                                    {.threads = threads, .tier = GetParam().tier}),
                        ids),
              one);
  }
}

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const Tier tier : kernels::cpu::SupportedTiers()) {
    for (const DataType type : {DataType::kF32, DataType::kF16, DataType::kQ8_0, DataType::kQ4_1}) {
      cases.push_back({tier, type});
    }
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(TiersAndTypes, EngineTest, testing::ValuesIn(Cases()),
                         [](const auto& info) {
                           return std::string(TierName(info.param.tier)) + "_" +
                                  std::string(model::DataTypeName(info.param.type));
                         });

TEST(EngineLoadTest, F32AndF16ComputeInFp32) {
  // Dequantizing beforehand must change nothing where activations are not quantized.
  const std::vector<TokenId> ids = Ids(20);
  for (const DataType type : {DataType::kF16, DataType::kQ8_0}) {
    const auto direct = AllLogits(*LoadEngine(Model(type)), ids);
    const auto as_f32 = AllLogits(*LoadEngine(Model(type), {.weights_as_f32 = true}), ids);
    if (type == DataType::kF16) {
      EXPECT_EQ(direct, as_f32);
    } else {
      EXPECT_NE(direct, as_f32);  // int8 activations: close, not equal
      for (std::size_t i = 0; i < direct.back().size(); ++i) {
        EXPECT_NEAR(direct.back()[i], as_f32.back()[i], 0.25);
      }
    }
  }
}

TEST(EngineErrorTest, WhatDoesNotFitIsRefusedBeforeItIsRead) {
  const auto engine = LoadEngine(Model(), {.context = 8});
  EXPECT_EQ(engine->context(), 8);
  ASSERT_TRUE(engine->Prefill(Ids(6)));
  const auto overflow = engine->Prefill(Ids(3));
  ASSERT_FALSE(overflow);
  EXPECT_EQ(overflow.error().code, base::Code::kOutOfRange);
  EXPECT_NE(overflow.error().message.find("9 tokens, but the context holds 8"), std::string::npos);
  EXPECT_EQ(engine->position(), 6);
  EXPECT_TRUE(engine->Prefill(Ids(2)));
  EXPECT_FALSE(engine->Decode(1));
  engine->Reset();
  EXPECT_FALSE(engine->Prefill({}));
  for (const TokenId id : {-1, 97}) {
    const auto outside = engine->Decode(id);
    ASSERT_FALSE(outside);
    EXPECT_EQ(outside.error().code, base::Code::kOutOfRange);
  }
  EXPECT_EQ(engine->position(), 0);
}

TEST(EngineErrorTest, AContextBeyondTheModelsPositionsIsRefused) {
  const auto engine = Engine::Load(Model(), {.context = 513});
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code, base::Code::kInvalidArgument);
}

TEST(EngineErrorTest, AMissingTensorIsNamed) {
  const auto files = Model();
  files->Remove("model.layers.1.mlp.up_proj.weight");
  const auto engine = Engine::Load(files, {});
  ASSERT_FALSE(engine);
  EXPECT_NE(engine.error().message.find("model.layers.1.mlp.up_proj.weight"), std::string::npos);
}

TEST(EngineErrorTest, LogitsThatAreNotFiniteAreAnErrorThatNamesTheTensor) {
  for (const float bad : {INFINITY, NAN}) {
    const auto files = Model();
    files->Spoil("model.layers.0.mlp.down_proj.weight", bad);
    const auto logits = LoadEngine(files)->Prefill(Ids(4));
    ASSERT_FALSE(logits);
    EXPECT_EQ(logits.error().code, base::Code::kDataLoss);
    EXPECT_NE(logits.error().message.find("model.layers.0.mlp.down_proj.weight"), std::string::npos)
        << logits.error().message;
  }
}

// Norms and biases are small: they are looked at when the model is loaded.
TEST(EngineErrorTest, ANormThatIsNotFiniteIsRefusedAtOnce) {
  const auto files = Model();
  files->Spoil("model.layers.1.post_attention_layernorm.weight", NAN);
  const auto engine = Engine::Load(files, {});
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code, base::Code::kDataLoss);
  EXPECT_NE(engine.error().message.find("model.layers.1.post_attention_layernorm.weight"),
            std::string::npos);
}

}  // namespace
}  // namespace cloister::inference
