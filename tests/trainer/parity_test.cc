// The trainer's network against tiny models run by another implementation (tests/data/models, and
// $CLOISTER_FIXTURES/models): logits, greedy continuations, losses, gradient norms.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstring>
#include <filesystem>
#include <numeric>
#include <optional>
#include <set>
#include <string>

#include "model/huggingface/safetensors_file.h"
#include "model/model_files.h"
#include "tests/model/fixture_folders.h"
#include "trainer/networks/batch.h"
#include "trainer/networks/network.h"

namespace cloister::trainer {
namespace {

namespace fs = std::filesystem;

at::Tensor Golden(const model::SafetensorsFile& file, const std::string& name) {
  const auto& entry = file.entries().at(name);
  const at::ScalarType type = entry.dtype == "I64" ? at::kLong : at::kFloat;
  at::Tensor tensor = at::empty(entry.shape, type);
  EXPECT_EQ(tensor.nbytes(), entry.data.size());
  std::memcpy(tensor.mutable_data_ptr(), entry.data.data(), entry.data.size());
  return tensor;
}

double LargestDifference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

// Mean cross entropy of the next tokens of one row.
at::Tensor NextTokenLoss(const Network& network, const at::Tensor& row) {
  const std::int64_t count = row.size(0) - 1;
  const at::Tensor logits = network.Logits(network.Hidden(row.unsqueeze(0), nullptr))[0];
  return at::cross_entropy_loss(logits.narrow(0, 0, count), row.narrow(0, 1, count));
}

void CheckGreedy(const Network& network, const at::Tensor& ids, const at::Tensor& expected) {
  const at::NoGradGuard no_grad;
  at::Tensor sequence = ids;
  // The expected ids went through a cache, where a key keeps the rotation that it came with. Under
  // a rope that grows with the sequence, the whole sequence at once is another function.
  const bool grows = network.architecture().rope.DependsOnLength();
  const std::int64_t steps = grows ? 1 : expected.size(1);
  for (std::int64_t step = 0; step < steps; ++step) {
    const at::Tensor last = network.Hidden(sequence, nullptr).select(1, -1);
    sequence = at::cat({sequence, network.Logits(last).argmax(-1, /*keepdim=*/true)}, 1);
  }
  EXPECT_TRUE(at::equal(sequence.narrow(1, ids.size(1), steps), expected.narrow(1, 0, steps)));
}

// The same rows as training examples of different lengths in one padded batch.
void CheckPaddedBatch(const Network& network, const at::Tensor& ids) {
  const at::NoGradGuard no_grad;
  std::vector<Example> examples;
  for (std::int64_t b = 0; b < ids.size(0); ++b) {
    Example example;
    for (std::int64_t t = 0; t < std::max<std::int64_t>(2, ids.size(1) - 3 * b); ++t) {
      example.ids.push_back(static_cast<model::TokenId>(ids[b][t].item<std::int64_t>()));
      example.answer.push_back(t > 0 ? 1 : 0);
    }
    examples.push_back(std::move(example));
  }
  std::vector<std::size_t> all(examples.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  const at::Tensor losses = BatchLoss(network, nullptr, MakeBatch(examples, all));
  for (std::int64_t b = 0; b < ids.size(0); ++b) {
    const at::Tensor row = ids[b].narrow(0, 0, examples[static_cast<std::size_t>(b)].tokens());
    EXPECT_NEAR(losses[b].item<double>(), NextTokenLoss(network, row).item<double>(), 1e-5);
  }
}

void CheckFixture(const Network& network, const model::SafetensorsFile& golden) {
  const at::Tensor ids = Golden(golden, "input_ids");
  {
    const at::NoGradGuard no_grad;
    const at::Tensor logits = network.Logits(network.Hidden(ids, nullptr));
    EXPECT_LE(LargestDifference(logits, Golden(golden, "logits")), 5e-5);
  }
  CheckGreedy(network, ids, Golden(golden, "greedy_ids"));
  CheckPaddedBatch(network, ids);
  const at::Tensor losses = Golden(golden, "loss_per_sample");
  const at::Tensor norms = Golden(golden, "grad_norm_per_sample");
  const std::vector<at::Tensor> parameters = network.weights().Parameters();
  for (const at::Tensor& parameter : parameters) parameter.requires_grad_(true);
  for (std::int64_t b = 0; b < ids.size(0); ++b) {
    const at::Tensor loss = NextTokenLoss(network, ids[b]);
    EXPECT_NEAR(loss.item<double>(), losses[b].item<double>(), 1e-4);
    double squared = 0;
    // An expert that no token chose has no gradient.
    for (const at::Tensor& gradient :
         torch::autograd::grad({loss}, parameters, /*grad_outputs=*/{}, /*retain_graph=*/false,
                               /*create_graph=*/false, /*allow_unused=*/true)) {
      if (gradient.defined()) squared += gradient.to(at::kDouble).square().sum().item<double>();
    }
    const double expected = norms[b].item<double>();
    EXPECT_NEAR(std::sqrt(squared), expected, 1e-3 * expected);
  }
}

TEST(NetworkParity, EveryFixtureOfASupportedFamily) {
  at::set_num_threads(1);  // too small to share
  const fs::path carried = fs::path(CLOISTER_TEST_DATA) / "models";
  std::set<std::string> passed;
  for (const fs::path& folder : cloister::fixtures::FixtureFolders()) {
    SCOPED_TRACE(folder.string());
    const auto files = model::ModelFiles::Open(folder);
    ASSERT_TRUE(files) << files.error().message;
    const auto architecture = (*files)->architecture();
    if (!architecture && architecture.error().code == base::Code::kUnimplemented) {
      std::printf("not supported yet: %s (%s)\n", folder.c_str(),
                  architecture.error().message.c_str());
      EXPECT_NE(folder.parent_path(), carried) << "is in the repository and not supported";
      continue;
    }
    ASSERT_TRUE(architecture) << architecture.error().message;
    auto weights = LoadWeights(**files, *architecture);
    ASSERT_TRUE(weights) << weights.error().message;
    const auto golden = model::SafetensorsFile::Open(folder / "golden.safetensors");
    ASSERT_TRUE(golden) << golden.error().message;
    CheckFixture(Network(*architecture, std::move(*weights)), *golden);
    passed.insert(folder.filename().string());
    std::printf("checked: %s\n", folder.c_str());
  }
  for (const char* family : {"llama", "mistral-window", "qwen2", "qwen3", "deepseek-v2",
                             "deepseek-v3", "deepseek-v3-yarn"}) {
    EXPECT_TRUE(passed.contains(family)) << family;
  }
}

}  // namespace
}  // namespace cloister::trainer
