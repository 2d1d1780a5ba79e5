// Packed micro-batches against padded ones, on every fixture: full and windowed attention, latent
// attention, ropes that grow with the sequence, experts.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "model/model_files.h"
#include "tests/model/fixture_folders.h"
#include "tests/trainer/golden_examples.h"
#include "trainer/networks/batch.h"
#include "trainer/networks/weights.h"
#include "trainer/trainable_model.h"

namespace cloister::trainer {
namespace {

// The golden sequences, cut to lengths that differ, and an answer that is not all of each.
std::vector<Example> Examples(const std::filesystem::path& fixture) {
  std::vector<Example> examples = GoldenExamples(fixture);
  for (std::size_t i = 0; i < examples.size(); ++i) {
    const std::size_t size = examples[i].ids.size() - 3 * i;
    examples[i].ids.resize(size);
    examples[i].answer.assign(size, 0);
    for (std::size_t t = size / 3; t < size; ++t) examples[i].answer[t] = 1;
  }
  const std::vector<Example> again = examples;
  examples.insert(examples.end(), again.begin(), again.end());
  return examples;
}

class PackingTest : public testing::TestWithParam<std::filesystem::path> {
 protected:
  void SetUp() override {
    SetThreads(1);  // too small to share
    files_ = model::ModelFiles::Open(GetParam()).value();
    examples_ = Examples(GetParam());
  }

  std::unique_ptr<TrainableModel> Load(bool packing, bool checkpointing = false) const {
    auto model = TrainableModel::Load(
        *files_, std::nullopt, {.activation_checkpointing = checkpointing, .packing = packing});
    EXPECT_TRUE(model) << model.error().message;
    return std::move(model).value();
  }

  // Of each example.
  std::vector<float> Losses(const Batch& batch) const {
    const model::Architecture architecture = files_->architecture().value();
    const Network network(architecture, LoadWeights(*files_, architecture).value());
    const at::NoGradGuard no_grad;
    const at::Tensor losses = BatchLoss(network, nullptr, batch);
    return {losses.const_data_ptr<float>(), losses.const_data_ptr<float>() + losses.numel()};
  }

  std::vector<std::size_t> All() const {
    std::vector<std::size_t> all(examples_.size());
    std::iota(all.begin(), all.end(), std::size_t{0});
    return all;
  }

  std::shared_ptr<const model::ModelFiles> files_;
  std::vector<Example> examples_;
};

double LargestDifference(std::span<const float> a, std::span<const float> b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    largest = std::max<double>(largest, std::abs(a[i] - b[i]));
  return largest;
}

TEST_P(PackingTest, EachExampleHasTheLossThatItHasAlone) {
  const Batch packed = MakeBatch(examples_, All(), /*packed=*/true);
  EXPECT_EQ(packed.ids.size(0), 1);
  std::int64_t tokens = 0;
  for (const Example& example : examples_) tokens += example.tokens() - 1;
  EXPECT_EQ(packed.ids.size(1), tokens);  // no padding
  const std::vector<float> losses = Losses(packed), padded = Losses(MakeBatch(examples_, All()));
  ASSERT_EQ(losses.size(), examples_.size());
  EXPECT_LT(LargestDifference(losses, padded), 1e-5);
  // Example 0 comes twice, behind different ones.
  EXPECT_NEAR(losses[0], losses[losses.size() / 2], 1e-6);
  // The broken variant: one that sees what stands before it.
  Batch joined = packed;
  joined.segments = {tokens};
  joined.lengths = {tokens + 1};
  joined.example = at::zeros_like(joined.example);
  const double mean = std::accumulate(padded.begin(), padded.end(), 0.0);
  EXPECT_GT(std::abs(Losses(joined)[0] - mean), 1e-3);
}

TEST_P(PackingTest, TheGradientIsThatOfPaddedMicroBatches) {
  for (const bool checkpointing : {false, true}) {
    const auto padded = Load(false, checkpointing), packed = Load(true, checkpointing);
    const auto expected = padded->Gradient(examples_, LossMean::kExample, 1024, {});
    for (const std::int64_t micro_batch_tokens : {1, 40, 1024}) {
      const auto gradient = packed->Gradient(examples_, LossMean::kExample, micro_batch_tokens, {});
      ASSERT_TRUE(gradient) << gradient.error().message;
      EXPECT_NEAR(gradient->loss, expected->loss, 1e-5);
      double norm = 0, difference = 0;
      for (std::size_t i = 0; i < expected->gradient.size(); ++i) {
        norm += std::pow(expected->gradient[i], 2);
        difference += std::pow(expected->gradient[i] - gradient->gradient[i], 2);
      }
      EXPECT_LT(std::sqrt(difference / norm), 1e-5);
    }
    EXPECT_NEAR(packed->Loss(examples_, 40, {}).value(), padded->Loss(examples_, 40, {}).value(),
                1e-5);
  }
}

INSTANTIATE_TEST_SUITE_P(Trainer, PackingTest,
                         testing::ValuesIn(cloister::fixtures::FixtureFolders()),
                         [](const auto& info) {
                           return cloister::fixtures::FixtureName(info.param);
                         });

}  // namespace
}  // namespace cloister::trainer
