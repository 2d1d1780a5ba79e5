// An adapter over a base in blocks learns what one over the dequantized base does: scores,
// gradients and clipped sums, on every kind of network, and what is saved fits the base again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <filesystem>

#include "base/file.h"
#include "dp/mechanism/unnoised.h"
#include "model/merge.h"
#include "model/quantize.h"
#include "tests/base/own_path.h"
#include "tests/clipping/network_case.h"
#include "tests/clipping/torch.h"
#include "tests/model/fixture_folders.h"
#include "tests/trainer/golden_examples.h"
#include "trainer/trainable_model.h"

namespace cloister::trainer {
namespace {

namespace fs = std::filesystem;
using dp::clipping::BookKeeping;
using dp::clipping::NetworkCase;
using dp::clipping::UnitClipper;

constexpr BaseWeights kFormats[] = {BaseWeights::kQ8_0, BaseWeights::kQ4_0, BaseWeights::kNf4};

double Norm(const at::Tensor& x) { return at::linalg_vector_norm(x).item<double>(); }
double Error(const at::Tensor& a, const at::Tensor& b) { return Norm(a - b) / Norm(b); }

std::string Named(const std::string& fixture) {
  std::string name = fixture;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return name;
}

// Scores and gradients of the input's hidden states, on every fixture.
class QuantizedNetwork : public testing::TestWithParam<fs::path> {};

TEST_P(QuantizedNetwork, ScoresAreThoseOfTheDequantizedNetwork) {
  at::set_num_threads(1);
  const at::NoGradGuard no_grad;
  const auto files = model::ModelFiles::Open(GetParam()).value();
  const auto architecture = files->architecture().value();
  const at::Tensor ids = at::arange(40).remainder(architecture.vocab_size).view({2, 20});
  const auto scores = [&](NetworkWeights weights, Precision precision) {
    const Network network(architecture, std::move(weights), {.precision = precision});
    return network.Logits(network.Hidden(ids, nullptr)).to(at::kDouble);
  };
  const at::Tensor exact = scores(LoadWeights(*files, architecture).value(), Precision::kFp32);
  const bool holds = BlockMatrix::Holds(architecture.hidden_size);
  for (const BaseWeights format : kFormats) {
    const auto weights = LoadWeights(*files, architecture, Precision::kFp32, format).value();
    EXPECT_EQ(weights.head_blocks != nullptr, holds);
    EXPECT_EQ(weights.embedding.defined(), !holds);
    const at::Tensor got = scores(weights, Precision::kFp32);
    EXPECT_LT(Error(got, scores(Dequantized(weights), Precision::kFp32)), 1e-5);
    if (holds) {
      EXPECT_GT(Error(got, exact), 1e-4) << "nothing was quantized";
    }
    // A router may choose otherwise for the least of changes.
    if (!architecture.experts) {
      EXPECT_LT(Error(got, exact), format == BaseWeights::kQ8_0 ? 0.05 : 0.6);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Trainer, QuantizedNetwork,
                         testing::ValuesIn(cloister::fixtures::FixtureFolders()),
                         [](const auto& info) {
                           return cloister::fixtures::FixtureName(info.param);
                         });

struct Setting {
  std::string fixture;
  BaseWeights format;
  bool checkpointing = false;
};

class QuantizedAdapter : public testing::TestWithParam<Setting> {
 protected:
  static NetworkCase Case() {
    return {GetParam().fixture,
            3,
            0,
            {.activation_checkpointing = GetParam().checkpointing, .base = GetParam().format}};
  }
};

// NetworkCase::Gradient differentiates the dense network whose weights are the dequantized ones
// plus B A, by ordinary means.
TEST_P(QuantizedAdapter, ClippedSumEqualsThatOfTheDequantizedBase) {
  const NetworkCase one = Case();
  const double clip_norm = Norm(one.Gradient(0));
  at::Tensor naive = at::zeros({one.parameters()}, at::TensorOptions(at::kDouble));
  BookKeeping engine =
      BookKeeping::Create(one.shapes(), {.rule = {.clip_norms = {clip_norm}},
                                         .unit = dp::PrivacyUnit::kRecord,
                                         .neighbours = dp::Neighbours::kAddOrRemoveOne})
          .value();
  UnitClipper unit(engine);
  for (std::size_t i = 0; i < one.examples(); ++i) {
    const at::Tensor gradient = one.Gradient(i);
    naive += gradient * std::min(1.0, clip_norm / Norm(gradient));
    one.Run(std::array{i}, unit);
    EXPECT_NEAR(unit.EndUnit()->computed, Norm(gradient), 1e-3 * Norm(gradient));
  }
  const at::Tensor sum = dp::clipping::Values(std::move(engine).Finish());
  EXPECT_LT(Error(sum, naive), 1e-4);
  // Over the weights as they were before, it is another.
  const NetworkCase unquantized(GetParam().fixture, 3, 0);
  EXPECT_GT(Error(unquantized.Gradient(0), one.Gradient(0)), 1e-3);
}

INSTANTIATE_TEST_SUITE_P(Trainer, QuantizedAdapter,
                         testing::Values(Setting{"llama", BaseWeights::kQ8_0},
                                         Setting{"llama", BaseWeights::kQ4_0},
                                         Setting{"llama", BaseWeights::kNf4},
                                         Setting{"llama", BaseWeights::kNf4, true},
                                         Setting{"llama-tied-rope3", BaseWeights::kNf4},
                                         Setting{"qwen2", BaseWeights::kQ4_0, true},  // biases
                                         Setting{"deepseek-v2", BaseWeights::kQ8_0},
                                         Setting{"deepseek-v3", BaseWeights::kNf4}),
                         [](const auto& info) {
                           return Named(info.param.fixture) + "_" +
                                  std::to_string(static_cast<int>(info.param.format)) +
                                  (info.param.checkpointing ? "_checkpointed" : "");
                         });

// By the trainer's own face.
class QuantizedModel : public InOwnFolder {
 protected:
  void SetUp() override {
    InOwnFolder::SetUp();
    SetThreads(1);
    examples_ = GoldenExamples(kLlama);
    for (const Example& example : examples_) units_.push_back({example});
  }
  void TearDown() override {
    SetThreads(1);
    InOwnFolder::TearDown();
  }

  static std::unique_ptr<TrainableModel> Load(const fs::path& path, BaseWeights base,
                                              double dropout = 0, bool checkpointing = false) {
    const auto files = model::ModelFiles::Open(path).value();
    model::LoraConfig config = kConfig;
    config.dropout = dropout;
    auto model = TrainableModel::Load(*files, config,
                                      {.activation_checkpointing = checkpointing, .base = base});
    EXPECT_TRUE(model) << model.error().message;
    const auto layout = model::AdapterLayout(config, (*model)->architecture());
    std::vector<float> start = model::InitialAdapter(layout, 1);
    for (std::size_t i = 0; i < start.size(); ++i) start[i] += 0.02F * std::sin(0.7F * float(i));
    EXPECT_TRUE((*model)->SetParameters(start));
    return std::move(model).value();
  }
  std::vector<double> Clipped(TrainableModel& model, std::span<const UnitExamples> units,
                              std::int64_t step = 1) const {
    model.BeginStep(7, step);
    auto clipped = model.ClippedGradient(units,
                                         {.rule = {.clip_norms = {0.1}},
                                          .unit = dp::PrivacyUnit::kRecord,
                                          .neighbours = dp::Neighbours::kAddOrRemoveOne},
                                         {});
    EXPECT_TRUE(clipped) << clipped.error().message;
    const auto values = dp::Unnoised::Values(clipped->sum);
    return {values.begin(), values.end()};
  }
  double Loss(TrainableModel& model) const { return model.Loss(examples_, 1024, {}).value(); }

  static inline const fs::path kLlama = fs::path(CLOISTER_TEST_DATA) / "models/llama";
  static inline const model::LoraConfig kConfig = {
      .rank = 2, .alpha = 4, .targets = {"q_proj", "v_proj", "down_proj"}};
  std::vector<Example> examples_;
  std::vector<UnitExamples> units_;
};

TEST_F(QuantizedModel, AQuantizedFileKeepsItsBlocksAndTrainsAsItsNumbersDo) {
  for (const auto& [type, base] : {std::pair(model::DataType::kQ4_0, BaseWeights::kQ4_0),
                                   std::pair(model::DataType::kQ4_0, BaseWeights::kNf4),
                                   std::pair(model::DataType::kQ8_0, BaseWeights::kQ8_0)}) {
    const fs::path gguf = folder_ / (std::string(model::DataTypeName(type)) + ".gguf");
    if (!fs::exists(gguf)) {
      ASSERT_TRUE(model::QuantizeModel(kLlama, gguf, type));
    }
    const auto dense = Load(gguf, BaseWeights::kDense), blocks = Load(gguf, base);
    EXPECT_NEAR(Loss(*blocks), Loss(*dense), 1e-6);
    const at::Tensor a = at::tensor(Clipped(*blocks, units_), at::kDouble);
    const at::Tensor b = at::tensor(Clipped(*dense, units_), at::kDouble);
    EXPECT_LT(Error(a, b), 1e-5);
    EXPECT_GT(
        Error(at::tensor(Clipped(*Load(kLlama, BaseWeights::kDense), units_), at::kDouble), b),
        1e-3);
  }
}

TEST_F(QuantizedModel, AUnitsContributionIsItsOwnOnAnyNumberOfThreads) {
  const auto model = Load(kLlama, BaseWeights::kNf4, 0.2);
  const std::vector<double> all = Clipped(*model, units_);
  SetThreads(3);
  EXPECT_EQ(Clipped(*model, units_), all);
  SetThreads(1);
  // The sum is exact: what each adds alone.
  std::vector<double> sum(all.size());
  for (const UnitExamples& unit : units_) {
    const std::vector<double> one = Clipped(*model, {&unit, 1});
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += one[i];
  }
  EXPECT_THAT(sum, testing::Pointwise(testing::DoubleNear(1e-15), all));
  EXPECT_NE(Clipped(*model, units_, 2), all);  // another step drops others
}

// The adapter that a pass was made with is gone when its layers are computed again.
TEST_F(QuantizedModel, LayersThatAreComputedAgainContributeTheSameBits) {
  for (const BaseWeights base : {BaseWeights::kDense, BaseWeights::kNf4}) {
    const auto kept = Load(kLlama, base, 0.2), again = Load(kLlama, base, 0.2, true);
    EXPECT_EQ(Clipped(*again, units_), Clipped(*kept, units_));
  }
}

TEST_F(QuantizedModel, AFileThatWasLetGoOfIsReadAgain) {
  const auto files = model::ModelFiles::Open(kLlama).value();
  const auto view = files->Tensor("model.embed_tokens.weight").value();
  const std::vector<float> before = model::ToFloat(view);
  files->ReleasePages();
  EXPECT_EQ(model::ToFloat(view), before);
}

TEST_F(QuantizedModel, HeldOutLossesAreWithoutDropout) {
  EXPECT_EQ(Loss(*Load(kLlama, BaseWeights::kNf4, 0.5)), Loss(*Load(kLlama, BaseWeights::kNf4)));
}

// A base that a file holds in blocks: merged, it says what the adapter over it said.
TEST_F(QuantizedModel, MergedIntoItsBaseTheAdapterSaysTheSame) {
  for (const auto& [type, base] : {std::pair(model::DataType::kQ4_0, BaseWeights::kQ4_0),
                                   std::pair(model::DataType::kQ8_0, BaseWeights::kQ8_0)}) {
    const std::string name(model::DataTypeName(type));
    const fs::path gguf = folder_ / (name + ".gguf"), adapter = folder_ / (name + "-adapter");
    ASSERT_TRUE(model::QuantizeModel(kLlama, gguf, type));
    const auto trained = Load(gguf, base, 0.1);
    ASSERT_TRUE(trained->Save(adapter, gguf));
    for (const char* const merged : {"merged.gguf", "merged"}) {
      const fs::path output = folder_ / (name + merged);
      const auto written = model::Merge(gguf, adapter, output, std::nullopt);
      ASSERT_TRUE(written) << written.error().message;
      const auto files = model::ModelFiles::Open(output).value();
      const auto whole = TrainableModel::Load(*files, std::nullopt).value();
      EXPECT_NEAR(Loss(*whole), Loss(*trained), 1e-5) << merged;
      const auto base_files = model::ModelFiles::Open(gguf).value();
      EXPECT_GT(
          std::abs(Loss(*TrainableModel::Load(*base_files, std::nullopt).value()) - Loss(*trained)),
          1e-3);
    }
  }
}

// NF4 stands in no file: merged into the weights that it was made from, the adapter is what it is
// over those.
TEST_F(QuantizedModel, AnAdapterOfNf4MergesIntoTheWeightsThatItWasMadeFrom) {
  const auto trained = Load(kLlama, BaseWeights::kNf4);
  ASSERT_TRUE(trained->Save(folder_ / "adapter", kLlama));
  EXPECT_THAT(base::ReadFile(folder_ / "adapter/adapter_config.json").value(),
              testing::HasSubstr("\"lora_dropout\": 0.0"));
  ASSERT_TRUE(model::Merge(kLlama, folder_ / "adapter", folder_ / "merged", std::nullopt));
  const auto files = model::ModelFiles::Open(folder_ / "merged").value();
  const auto over_the_weights = Load(kLlama, BaseWeights::kDense);
  EXPECT_NEAR(Loss(*TrainableModel::Load(*files, std::nullopt).value()), Loss(*over_the_weights),
              1e-5);
}

}  // namespace
}  // namespace cloister::trainer
