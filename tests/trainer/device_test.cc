// What a network learns on another device than the CPU is what it learns there: every kind of
// network, adapters and all weights, private and plain. The device is one of the tests' own
// (other_device.h): what a GPU computes is LibTorch's; what goes where is ours.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "dp/mechanism/unnoised.h"
#include "model/adapter.h"
#include "tests/model/fixture_folders.h"
#include "tests/trainer/golden_examples.h"
#include "tests/trainer/other_device.h"
#include "trainer/devices.h"
#include "trainer/trainable_model.h"

namespace cloister::trainer {
namespace {

namespace fs = std::filesystem;

const fs::path kLlama = fs::path(CLOISTER_TEST_DATA) / "models/llama";

double RelativeError(const std::vector<double>& a, const std::vector<double>& b) {
  EXPECT_EQ(a.size(), b.size());
  double off = 0, whole = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    off += (a[i] - b[i]) * (a[i] - b[i]);
    whole += b[i] * b[i];
  }
  return std::sqrt(off / whole);
}

// What a network answers to everything that training and evaluation ask of it.
struct Answers {
  std::vector<double> gradient, clipped, losses, scores;
  std::vector<model::TokenId> tokens;
};

struct Asked {
  std::optional<model::LoraConfig> lora;
  ComputeOptions options;
};

Answers Ask(const fs::path& path, Asked asked, const std::string& device) {
  SetThreads(1);
  const auto files = model::ModelFiles::Open(path).value();
  asked.options.device = device;
  auto loaded = TrainableModel::Load(*files, asked.lora, asked.options);
  EXPECT_TRUE(loaded) << loaded.error().message;
  TrainableModel& model = **loaded;
  const std::vector<Example> examples = GoldenExamples(path);
  std::vector<UnitExamples> units;
  for (const Example& example : examples) units.push_back({example});
  Answers answers;
  const auto ask = [&] {
    model.BeginStep(3, 1);
    for (const LossMean mean : {LossMean::kExample, LossMean::kToken}) {
      const auto plain = model.Gradient(examples, mean, 64, {});
      EXPECT_TRUE(plain) << plain.error().message;
      answers.gradient.insert(answers.gradient.end(), plain->gradient.begin(),
                              plain->gradient.end());
      answers.losses.push_back(plain->loss);
    }
    if (!asked.options.packing) {
      const auto clipped = model.ClippedGradient(units,
                                                 {.rule = {.clip_norms = {0.3}},
                                                  .unit = dp::PrivacyUnit::kRecord,
                                                  .neighbours = dp::Neighbours::kAddOrRemoveOne},
                                                 {});
      EXPECT_TRUE(clipped) << clipped.error().message;
      const auto values = dp::Unnoised::Values(clipped->sum);
      answers.clipped.insert(answers.clipped.end(), values.begin(), values.end());
      answers.losses.push_back(clipped->private_loss);
    }
    answers.losses.push_back(model.Loss(examples, 64, {}).value());
    const auto scores = model.Scores(examples, 64, {}).value();
    for (const auto& score : scores) answers.scores.push_back(score.nll);
  };
  ask();
  // And again after a change of what is trained.
  std::vector<float> values(model.values().begin(), model.values().end());
  for (std::size_t i = 0; i < values.size(); ++i) values[i] += 0.02F * std::sin(0.7F * float(i));
  EXPECT_TRUE(model.SetParameters(values));
  ask();
  if (asked.lora && asked.options.base == BaseWeights::kDense) {
    answers.tokens = model.Continue(std::span(examples[0].ids).first(3), 6, {}, {}).value();
  }
  return answers;
}

void ExpectSame(const fs::path& path, const Asked& asked, double tolerance = 2e-5) {
  const Answers here = Ask(path, asked, "cpu");
  const long before = OtherDeviceOperators();
  const Answers there = Ask(path, asked, kOtherDevice);
  EXPECT_GT(OtherDeviceOperators() - before, 100) << "nothing was computed on the device";
  EXPECT_LT(RelativeError(there.gradient, here.gradient), tolerance);
  if (!asked.options.packing) {
    EXPECT_LT(RelativeError(there.clipped, here.clipped), tolerance);
  }
  EXPECT_LT(RelativeError(there.losses, here.losses), tolerance);
  EXPECT_LT(RelativeError(there.scores, here.scores), tolerance);
  EXPECT_EQ(there.tokens, here.tokens);
}

model::LoraConfig Lora(double dropout = 0) {
  model::LoraConfig config = {.rank = 2, .alpha = 4, .targets = {"all-linear"}};
  config.dropout = dropout;
  return config;
}

class OnAnotherDevice : public testing::TestWithParam<fs::path> {
 protected:
  void SetUp() override { OtherDevice(); }
};

TEST_P(OnAnotherDevice, AnAdapterLearnsTheSame) {
  Asked asked{Lora(), {}};
  const auto files = model::ModelFiles::Open(GetParam()).value();
  const auto architecture = files->architecture().value();
  // Experts take no adapter.
  asked.lora->targets = {architecture.latent ? "kv_a_proj_with_mqa" : "v_proj", "o_proj"};
  ExpectSame(GetParam(), asked);
}

TEST_P(OnAnotherDevice, AllWeightsLearnTheSame) { ExpectSame(GetParam(), {}); }

INSTANTIATE_TEST_SUITE_P(Trainer, OnAnotherDevice,
                         testing::ValuesIn(cloister::fixtures::FixtureFolders()),
                         [](const auto& info) {
                           return cloister::fixtures::FixtureName(info.param);
                         });

TEST(Device, EveryWayToComputeIsTheSameThere) {
  OtherDevice();
  model::LoraConfig config = Lora(0.2);
  config.targets = {"q_proj", "k_proj", "gate_proj", "down_proj"};
  ExpectSame(kLlama, {config, {.activation_checkpointing = true}});
  ExpectSame(kLlama, {config, {.base = BaseWeights::kNf4}});
  ExpectSame(kLlama, {config, {.base = BaseWeights::kQ8_0}});
  ExpectSame(kLlama, {config, {.precision = Precision::kBf16}}, 0.03);
  ExpectSame(kLlama, {std::nullopt, {.precision = Precision::kBf16}}, 0.03);
  config.dropout = 0;
  ExpectSame(kLlama, {config, {.packing = true}});
}

TEST(Device, OneThatIsNotThereIsRefused) {
  EXPECT_TRUE(OpenDevice("cpu")->is_cpu());
  EXPECT_EQ(OpenDevice("gpu").error().code, base::Code::kInvalidArgument);
  EXPECT_EQ(OpenDevice("cuda:x").error().code, base::Code::kInvalidArgument);
  const auto device = OpenDevice("cuda:63");
  ASSERT_FALSE(device);
  EXPECT_EQ(device.error().code, base::Code::kFailedPrecondition);
  EXPECT_THAT(device.error().message, testing::HasSubstr("training.device: cpu"));
}

}  // namespace
}  // namespace cloister::trainer
