// Training of every weight of a network, on every fixture: gradients against another
// implementation's, private and plain against each other, and the folder that is saved.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>

#include "dp/mechanism/gaussian_mechanism.h"
#include "dp/mechanism/unnoised.h"
#include "model/convert.h"
#include "model/model_files.h"
#include "tests/base/own_path.h"
#include "tests/dp/unkept_ledger.h"
#include "tests/model/fixture_folders.h"
#include "tests/trainer/golden_examples.h"
#include "trainer/trainable_model.h"

namespace cloister::trainer {
namespace {

namespace fs = std::filesystem;

template <typename Values>
double Norm(const Values& values) {
  double squared = 0;
  for (const double value : values) squared += value * value;
  return std::sqrt(squared);
}

template <typename A, typename B>
double RelativeError(const A& a, const B& b) {
  EXPECT_EQ(a.size(), b.size());
  std::vector<double> difference;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    difference.push_back(static_cast<double>(a[i]) - static_cast<double>(b[i]));
  }
  return Norm(difference) / Norm(b);
}

class FullModelTest : public testing::TestWithParam<fs::path> {
 protected:
  static constexpr std::int64_t kTokens = 1024;  // a micro-batch: all examples

  void SetUp() override {
    SetThreads(1);  // too small to share
    folder_ = OwnPath("full_model");
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    model_ = Load(GetParam());
    examples_ = GoldenExamples(GetParam());
    for (const Example& example : examples_) units_.push_back({example});
    golden_norms_ = GoldenFloats(GetParam(), "grad_norm_per_sample");
    golden_losses_ = GoldenFloats(GetParam(), "loss_per_sample");
  }
  void TearDown() override { fs::remove_all(folder_); }

  static std::unique_ptr<TrainableModel> Load(const fs::path& path) {
    const auto files = model::ModelFiles::Open(path).value();
    auto model = TrainableModel::Load(*files, std::nullopt);
    EXPECT_TRUE(model) << model.error().message;
    return std::move(model).value();
  }

  std::vector<float> Gradient(std::span<const Example> examples,
                              std::int64_t micro_batch_tokens = kTokens) const {
    const auto plain = model_->Gradient(examples, LossMean::kExample, micro_batch_tokens, {});
    EXPECT_TRUE(plain);
    return {plain->gradient.begin(), plain->gradient.end()};
  }

  base::Result<TrainableModel::Clipped> Clipped(dp::clipping::ClipRule rule) const {
    return model_->ClippedGradient(units_,
                                   {.rule = std::move(rule),
                                    .unit = dp::PrivacyUnit::kRecord,
                                    .neighbours = dp::Neighbours::kAddOrRemoveOne},
                                   {});
  }

  double Loss(TrainableModel& model) const { return model.Loss(examples_, kTokens, {}).value(); }

  // Away from the stored weights, so that these would be told from those that were trained.
  void Perturb() const {
    std::size_t i = 0;
    for (float& value : model_->values()) value += 0.01F * std::sin(static_cast<float>(++i));
  }

  fs::path folder_;
  std::unique_ptr<TrainableModel> model_;
  std::vector<Example> examples_;
  std::vector<UnitExamples> units_;
  std::vector<float> golden_norms_, golden_losses_;
};

TEST_P(FullModelTest, GradientsAreTheOtherImplementations) {
  const auto& architecture = model_->architecture();
  EXPECT_EQ(TrainableModel::SizeOf(architecture, std::nullopt).parameters, model_->parameters());
  for (std::size_t i = 0; i < examples_.size(); ++i) {
    const auto plain = model_->Gradient({&examples_[i], 1}, LossMean::kExample, kTokens, {});
    ASSERT_TRUE(plain) << plain.error().message;
    EXPECT_NEAR(plain->loss, golden_losses_[i], 1e-4);
    EXPECT_NEAR(Norm(plain->gradient), golden_norms_[i], 1e-3 * golden_norms_[i]);
    // No golden norm without the embedding, or with its part that is looked up alone (tied).
    const auto embedding =
        static_cast<std::size_t>(architecture.vocab_size * architecture.hidden_size);
    EXPECT_LT(Norm(plain->gradient.subspan(embedding)), 0.999 * golden_norms_[i]);
  }
}

// The mean over a batch's answer tokens, whatever the micro-batches.
TEST_P(FullModelTest, ATokenMeanIsTheExamplesWeighedByTheirTokens) {
  // One of them with a short answer: one mean is the other's where all are as long.
  std::vector<Example> examples = examples_;
  for (std::size_t t = 0, left = examples[0].ids.size() / 3; t < left; ++t) {
    examples[0].answer[examples[0].answer.size() - 1 - t] = 0;
  }
  ASSERT_GT(examples[0].answer_tokens(), 0);
  std::vector<double> direct(static_cast<std::size_t>(model_->parameters()));
  double tokens = 0, loss = 0;
  for (const Example& example : examples) {
    const auto count = static_cast<double>(example.answer_tokens());
    const auto plain = model_->Gradient({&example, 1}, LossMean::kExample, kTokens, {});
    for (std::size_t i = 0; i < direct.size(); ++i) direct[i] += count * plain->gradient[i];
    tokens += count;
    loss += count * plain->loss;
  }
  const double norm = Norm(std::vector<float>(direct.begin(), direct.end())) / tokens;
  const auto apart = [&](const TrainableModel::Plain& plain) {
    double sum = 0;
    for (std::size_t i = 0; i < direct.size(); ++i) {
      sum += std::pow(plain.gradient[i] / plain.count - direct[i] / tokens, 2);
    }
    return std::sqrt(sum) / norm;
  };
  for (const std::int64_t micro_batch : {std::int64_t{1}, kTokens}) {
    const auto plain = model_->Gradient(examples, LossMean::kToken, micro_batch, {});
    ASSERT_TRUE(plain) << plain.error().message;
    EXPECT_EQ(plain->count, tokens);
    EXPECT_NEAR(plain->loss, loss / tokens, 1e-5);
    EXPECT_LT(apart(*plain), 1e-5);
  }
  const auto by_example = model_->Gradient(examples, LossMean::kExample, kTokens, {});
  EXPECT_EQ(by_example->count, static_cast<double>(examples.size()));
  EXPECT_GT(apart(*by_example), 0.01);
}

// Many answers, whose scores are not held all at once, beside fewer, whose are.
TEST_P(FullModelTest, ManyAnswersGradientIsItsPartsSum) {
  constexpr std::size_t kLength = 200;  // two of them are more than are held
  std::vector<Example> both(2);
  for (std::size_t t = 0; t < kLength; ++t) {
    for (std::size_t i = 0; i < both.size(); ++i) {
      both[i].ids.push_back(static_cast<model::TokenId>((7 * t * t + t + i) % 50));
      both[i].answer.push_back(t > 0 ? 1 : 0);
    }
  }
  std::vector<double> parts(static_cast<std::size_t>(model_->parameters()));
  for (const Example& one : both) {
    const std::vector<float> part = Gradient({&one, 1});
    for (std::size_t i = 0; i < parts.size(); ++i) parts[i] += part[i];
  }
  const std::vector<float> gradient = Gradient(both);
  double apart = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) apart += std::pow(gradient[i] - parts[i], 2);
  EXPECT_LT(std::sqrt(apart), 1e-5 * Norm(gradient));
}

// Also tells that the tensors stand in the vector where the gradient has them.
TEST_P(FullModelTest, GradientIsTheSlopeOfTheLoss) {
  const std::vector<float> gradient = Gradient(examples_);
  const double norm = Norm(gradient);
  const std::vector<float> start(model_->values().begin(), model_->values().end());
  const double reach = 3e-3 / norm;  // the loss moves by so much: above its rounding
  const auto loss_at = [&](double step) {
    for (std::size_t i = 0; i < start.size(); ++i) {
      model_->values()[i] = static_cast<float>(start[i] + step * gradient[i] / norm);
    }
    return Loss(*model_);
  };
  const double slope = (loss_at(reach) - loss_at(-reach)) / (2 * reach);
  EXPECT_NEAR(slope * static_cast<double>(examples_.size()), norm, 0.02 * norm);
}

TEST_P(FullModelTest, MicroBatchesChangeRoundingsAlone) {
  const std::vector<float> whole = Gradient(examples_);
  EXPECT_LT(RelativeError(Gradient(examples_, 1), whole), 1e-5);
  EXPECT_GT(RelativeError(Gradient({examples_.data(), 1}), whole), 1e-2);
}

TEST_P(FullModelTest, WithoutClippingAndNoiseThePrivateSumIsThePlainGradient) {
  const std::vector<float> plain = Gradient(examples_);
  const double largest = *std::max_element(golden_norms_.begin(), golden_norms_.end());
  const auto unclipped = Clipped({.clip_norms = {1.1 * largest}});
  ASSERT_TRUE(unclipped) << unclipped.error().message;
  EXPECT_LT(RelativeError(dp::Unnoised::Values(unclipped->sum), plain), 1e-5);
  EXPECT_NEAR(unclipped->private_loss, Loss(*model_), 1e-5);
  const auto clipped = Clipped({.clip_norms = {0.5 * largest}});
  EXPECT_GT(RelativeError(dp::Unnoised::Values(clipped->sum), plain), 1e-2);
}

TEST_P(FullModelTest, EveryLayerAndWhatIsOutsideCanBeClippedAlone) {
  const std::int64_t layers = TrainableModel::SizeOf(model_->architecture(), std::nullopt).layers;
  EXPECT_EQ(layers, model_->architecture().num_layers + 1);
  constexpr double kNorm = 1e-4;
  const auto clipped = Clipped({.style = dp::clipping::ClipRule::Style::kPerGroup,
                                .clip_norms = std::vector<double>(layers, kNorm)});
  ASSERT_TRUE(clipped) << clipped.error().message;
  // Every group of every example is longer than that.
  const double count = static_cast<double>(examples_.size());
  EXPECT_LE(Norm(dp::Unnoised::Values(clipped->sum)), count * std::sqrt(layers) * kNorm);
  EXPECT_FALSE(Clipped({.style = dp::clipping::ClipRule::Style::kPerGroup,
                        .clip_norms = std::vector<double>(layers - 1, kNorm)}));
}

TEST_P(FullModelTest, WhatIsSavedLoadsAsWhatWasTrained) {
  const double untrained = Loss(*model_);
  Perturb();
  const double trained = Loss(*model_);
  EXPECT_GT(std::abs(trained - untrained), 1e-3);
  const auto saved = model_->Save(folder_ / "saved", GetParam());
  ASSERT_TRUE(saved) << saved.error().message;
  const auto again = Load(folder_ / "saved");
  EXPECT_THAT(again->values(), testing::Pointwise(testing::Eq(), model_->values()));
  EXPECT_EQ(Loss(*again), trained);

  // What is no parameter is as it was; nothing is added.
  const auto base = model::ModelFiles::Open(GetParam()).value();
  const auto files = model::ModelFiles::Open(folder_ / "saved").value();
  EXPECT_THAT(files->TensorNames(), testing::UnorderedElementsAreArray(base->TensorNames()));
  for (const std::string& name : base->TensorNames()) {
    if (!name.ends_with("e_score_correction_bias")) continue;
    EXPECT_EQ(model::ToFloat(files->Tensor(name).value()),
              model::ToFloat(base->Tensor(name).value()));
  }
}

TEST_P(FullModelTest, AWeightThatIsNotFiniteIsNotSaved) {
  model_->values().back() = std::numeric_limits<float>::quiet_NaN();
  const auto saved = model_->Save(folder_ / "saved", GetParam());
  ASSERT_FALSE(saved);
  EXPECT_EQ(saved.error().code, base::Code::kDataLoss);
  EXPECT_FALSE(fs::exists(folder_ / "saved"));
}

INSTANTIATE_TEST_SUITE_P(Trainer, FullModelTest,
                         testing::ValuesIn(cloister::fixtures::FixtureFolders()),
                         [](const auto& info) {
                           return cloister::fixtures::FixtureName(info.param);
                         });

// GGUF keeps some tensors in another order, under other names.
class FullModelFromGguf : public FullModelTest {};

TEST_P(FullModelFromGguf, IsTrainedAndSavedAsTheFolderIs) {
  const fs::path gguf = folder_ / "model.gguf";
  ASSERT_TRUE(model::Convert(GetParam(), gguf, std::nullopt));
  const auto from_gguf = Load(gguf);
  EXPECT_THAT(from_gguf->values(), testing::Pointwise(testing::Eq(), model_->values()));
  Perturb();
  ASSERT_TRUE(from_gguf->SetParameters(model_->values()));
  const auto saved = from_gguf->Save(folder_ / "saved", gguf);
  ASSERT_TRUE(saved) << saved.error().message;
  const auto again = Load(folder_ / "saved");
  EXPECT_EQ(Loss(*again), Loss(*model_));
}

INSTANTIATE_TEST_SUITE_P(Trainer, FullModelFromGguf,
                         testing::Values(fs::path(CLOISTER_TEST_DATA) / "models/llama",
                                         fs::path(CLOISTER_TEST_DATA) / "models/llama-tied-rope3",
                                         fs::path(CLOISTER_TEST_DATA) / "models/qwen3",
                                         fs::path(CLOISTER_TEST_DATA) / "models/deepseek-v3"),
                         [](const auto& info) {
                           std::string name = info.param.filename().string();
                           for (char& c : name) c = std::isalnum(c) != 0 ? c : '_';
                           return name;
                         });

// The whole private path with next to no noise, against the plain gradient.
class FullModelWithLittleNoise : public FullModelTest {};

TEST_P(FullModelWithLittleNoise, ReleasesThePlainGradient) {
  const std::vector<float> plain = Gradient(examples_);
  const double clip_norm = 1.1 * *std::max_element(golden_norms_.begin(), golden_norms_.end());
  auto clipped = Clipped({.clip_norms = {clip_norm}});
  ASSERT_TRUE(clipped);
  constexpr double kNoise = 1e-5;
  auto mechanism = dp::GaussianMechanism::Create({.noise_multiplier = kNoise,
                                                  .clip_norm = clip_norm,
                                                  .sampling_rate = 1,
                                                  .dimension = model_->parameters(),
                                                  .spacing = clip_norm * 0x1p-24,
                                                  .neighbours = dp::Neighbours::kAddOrRemoveOne},
                                                 security::AesCtrStream::FromSystem());
  ASSERT_TRUE(mechanism) << mechanism.error().message;
  dp::UnkeptLedger ledger;  // no budget pays for next to no noise
  const auto noised =
      mechanism->Release(std::move(clipped->sum), ledger, "set", {.job = "test", .round = 1});
  ASSERT_TRUE(noised) << noised.error().message;
  std::vector<double> released;
  for (const std::int64_t point : noised->lattice()) {
    released.push_back(static_cast<double>(point) * noised->spacing());
  }
  const double noise = kNoise * clip_norm * std::sqrt(static_cast<double>(plain.size()));
  EXPECT_LT(RelativeError(released, plain), 1.1 * noise / Norm(plain) + 1e-5);
  EXPECT_GT(RelativeError(released, plain), 0.9 * noise / Norm(plain));
}

INSTANTIATE_TEST_SUITE_P(Trainer, FullModelWithLittleNoise,
                         testing::Values(fs::path(CLOISTER_TEST_DATA) / "models/llama-tied-rope3"));

}  // namespace
}  // namespace cloister::trainer
