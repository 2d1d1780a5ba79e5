#include "inference/engine/engine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "inference/engine/kv_cache.h"
#include "tests/inference/synthetic_engine.h"

namespace cloister::inference {
namespace {

using kernels::cpu::Tier;
using model::DataType;
using model::TokenId;

struct Case {
  Tier tier;
  DataType type;
  NamedArchitecture network;
};

class EngineTest : public testing::TestWithParam<Case> {};

// More tokens than a pass takes, so that the boundary between passes is crossed too.
TEST_P(EngineTest, OnePrefillAndTokenByTokenGiveTheSameBits) {
  const auto engine = LoadEngine(Model(GetParam().network.architecture, GetParam().type),
                                 {.tier = GetParam().tier});
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
  const auto logits = [&](int threads) {
    const auto files = Model(GetParam().network.architecture, GetParam().type);
    return AllLogits(*LoadEngine(files, {.threads = threads, .tier = GetParam().tier}), ids);
  };
  const auto one = logits(1);
  for (const int threads : {2, 3, 5}) EXPECT_EQ(logits(threads), one);
}

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const Tier tier : kernels::cpu::SupportedTiers()) {
    for (const DataType type : {DataType::kF32, DataType::kF16, DataType::kQ8_0, DataType::kQ4_1}) {
      for (const NamedArchitecture& network : Architectures()) {
        cases.push_back({tier, type, network});
      }
    }
    model::Architecture wide = SmallArchitecture();  // rows of whole blocks of 256
    wide.hidden_size = wide.intermediate_size = 256;
    wide.head_dim = 64;
    for (const DataType type :
         {DataType::kBF16, DataType::kQ5_0, DataType::kQ4_K, DataType::kQ5_K, DataType::kQ6_K}) {
      cases.push_back({tier, type, {"wide", wide}});
    }
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(TiersTypesAndNetworks, EngineTest, testing::ValuesIn(Cases()),
                         [](const auto& info) {
                           return std::string(TierName(info.param.tier)) + "_" +
                                  std::string(model::DataTypeName(info.param.type)) + "_" +
                                  info.param.network.name;
                         });

// A sequence within the window is as if there were none; beyond it the last token does not see the
// first, whatever that is.
TEST(EngineWindowTest, ATokenSeesItsWindow) {
  model::Architecture windowed = SmallArchitecture();
  windowed.num_layers = 1;  // several layers hand on what lies before the window
  model::Architecture whole = windowed;
  windowed.sliding_window = 7;
  windowed.sliding_layers = {true};
  std::vector<TokenId> ids = Ids(7);
  const auto last = [&](const model::Architecture& architecture) {
    return AllLogits(*LoadEngine(Model(architecture)), ids).back();
  };
  EXPECT_EQ(last(windowed), last(whole));
  ids.push_back(5);
  const auto before = last(windowed);
  EXPECT_NE(before, last(whole));
  ids[0] = 60;  // eight before the end
  EXPECT_EQ(last(windowed), before);
  ids[1] = 61;  // seven
  EXPECT_NE(last(windowed), before);
}

// All tokens of a call are turned by the length after it, though it takes several passes, and later
// ones by theirs: as a default rope of the theta that belongs to the length.
TEST(EngineRopeTest, ADynamicRopeTurnsACallByTheLengthAfterIt) {
  model::Architecture dynamic = SmallArchitecture();
  dynamic.max_positions = 16;
  dynamic.rope.type = model::Rope::Type::kDynamic;
  dynamic.rope.factor = 32.0;
  dynamic.rope.original_max_positions = 16;
  model::Architecture fixed = SmallArchitecture();
  const double n = static_cast<double>(fixed.head_dim);
  fixed.rope.theta *= std::pow(32.0 * 300 / 16 - 31.0, n / (n - 2));
  const auto engine = LoadEngine(Model(dynamic));
  const std::vector<TokenId> ids = Ids(300);
  const auto call = AllLogits(*engine, ids);
  const auto expected = AllLogits(*LoadEngine(Model(fixed)), ids);
  for (std::size_t i = 0; i < call.size(); ++i) {
    for (std::size_t j = 0; j < call[i].size(); ++j) {
      ASSERT_NEAR(call[i][j], expected[i][j], 1e-4) << "position " << i;
    }
  }
  engine->Reset();
  ASSERT_TRUE(engine->Prefill(std::span(ids).first(299)));
  const auto later = engine->Decode(ids.back());  // after others that were turned less
  ASSERT_TRUE(later);
  EXPECT_NE(Copy(*later), call.back());
}

TEST(EngineCacheTest, ALatentTokenTakesItsLatentAndItsRotatedKeyAlone) {
  const model::Architecture architecture = LatentArchitecture(true);
  auto cache = KvCache::Create(architecture, 100);
  ASSERT_TRUE(cache);
  const std::int64_t row = architecture.latent->kv_rank + architecture.latent->rope_dim;
  EXPECT_EQ(cache->Latents(1) - cache->Latents(0), 100 * row);
}

TEST(EngineLoadTest, F32AndF16ComputeInFp32) {
  // Dequantizing beforehand must change nothing where activations are not quantized.
  const std::vector<TokenId> ids = Ids(20);
  for (auto& [name, architecture] : Architectures()) {
    model::Architecture dense = architecture;  // rounding may change which experts are chosen
    dense.experts.reset();
    dense.expert_layers.clear();
    for (const DataType type : {DataType::kF16, DataType::kQ8_0}) {
      const auto direct = AllLogits(*LoadEngine(Model(dense, type)), ids);
      const auto as_f32 = AllLogits(*LoadEngine(Model(dense, type), {.weights_as_f32 = true}), ids);
      if (type == DataType::kF16) {
        EXPECT_EQ(direct, as_f32) << name;
        continue;
      }
      EXPECT_NE(direct, as_f32) << name;  // int8 activations: close, not equal
      for (std::size_t i = 0; i < direct.back().size(); ++i) {
        EXPECT_NEAR(direct.back()[i], as_f32.back()[i], 0.25) << name;
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
