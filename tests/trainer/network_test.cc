// The rules that the parity fixtures may not happen to touch, and what shows that they would see a
// rule broken.
#include "trainer/networks/network.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <string>

#include "model/model_files.h"
#include "trainer/networks/experts.h"
#include "trainer/networks/rotary.h"

namespace cloister::trainer {
namespace {

using model::Architecture;
using model::Experts;
using model::Rope;

std::vector<std::int64_t> Indices(const Choice& choice) {
  const at::Tensor row = choice.indices[0].contiguous();
  return {row.const_data_ptr<std::int64_t>(), row.const_data_ptr<std::int64_t>() + row.numel()};
}

double Weight(const Choice& choice, std::int64_t rank) {
  return choice.weights[0][rank].item<double>();
}

at::Tensor Row(const std::vector<float>& values) { return at::tensor(values).unsqueeze(0); }

Experts SixExperts() {
  Experts experts;
  experts.count = 6;
  experts.per_token = 2;
  experts.gate = Experts::Gate::kSigmoid;
  return experts;
}

TEST(ChooseExperts, GivesTiesToTheLowerIndex) {
  const at::Tensor logits = Row({0.5F, 1.0F, -1.0F, 1.0F, 1.0F, 0.5F});
  EXPECT_EQ(Indices(ChooseExperts(SixExperts(), logits, {})), (std::vector<std::int64_t>{1, 3}));
}

TEST(ChooseExperts, CorrectsForChoosingOnly) {
  const at::Tensor logits = Row({0.0F, 1.0F, 2.0F, 0.0F, 0.0F, 0.0F});
  const at::Tensor bias = at::tensor({5.0F, 0.0F, 0.0F, 0.0F, 0.0F, 0.0F});
  Experts experts = SixExperts();
  experts.correction_bias = true;
  experts.scale = 4;
  const Choice choice = ChooseExperts(experts, logits, bias);
  EXPECT_EQ(Indices(choice), (std::vector<std::int64_t>{0, 2}));
  EXPECT_NEAR(Weight(choice, 0), 4 * 0.5, 1e-6);  // of the score without the bias
}

TEST(ChooseExperts, KeepsToTheBestGroups) {
  // Groups {0,1,2} and {3,4,5}: the best single score is in the second, the best two in the first.
  const at::Tensor logits = Row({1.0F, 1.1F, -9.0F, 2.0F, -9.0F, -8.0F});
  Experts experts = SixExperts();
  experts.groups = 2;
  experts.group_score = Experts::GroupScore::kBest;
  EXPECT_EQ(Indices(ChooseExperts(experts, logits, {})), (std::vector<std::int64_t>{3, 5}));
  experts.group_score = Experts::GroupScore::kTwoBest;
  EXPECT_EQ(Indices(ChooseExperts(experts, logits, {})), (std::vector<std::int64_t>{1, 0}));
}

TEST(ChooseExperts, NormalizesToTheScale) {
  Experts experts = SixExperts();
  experts.normalize = true;
  experts.scale = 2.5;
  const Choice choice = ChooseExperts(experts, Row({1.0F, 0.0F, 3.0F, 0.0F, 0.0F, 0.0F}), {});
  EXPECT_NEAR(Weight(choice, 0) + Weight(choice, 1), 2.5, 1e-6);
}

TEST(ChooseExperts, CountsAnExcludedExpertAsNothing) {
  // The second group's scores have vanished beside the first one's best.
  Experts experts = SixExperts();
  experts.gate = Experts::Gate::kSoftmax;
  experts.groups = 2;
  experts.group_score = Experts::GroupScore::kBest;
  const at::Tensor logits = Row({0.0F, 300.0F, 0.0F, 299.0F, 0.0F, 0.0F});
  const Choice choice = ChooseExperts(experts, logits, {});
  EXPECT_EQ(Indices(choice), (std::vector<std::int64_t>{1, 0}));
  EXPECT_EQ(Weight(choice, 1), 0);
}

TEST(ChooseExperts, DifferentiatesTheChosenWeightsAlone) {
  at::Tensor logits = Row({0.0F, 1.0F, 2.0F, 0.0F, 0.0F, 0.0F});
  logits.requires_grad_(true);
  const Choice choice = ChooseExperts(SixExperts(), logits, {});
  EXPECT_FALSE(choice.indices.requires_grad());
  const at::Tensor gradient = torch::autograd::grad({choice.weights.sum()}, {logits})[0];
  for (const std::int64_t i : {0, 3, 4, 5}) EXPECT_EQ(gradient[0][i].item<float>(), 0);
  const double score = 1 / (1 + std::exp(-2.0));
  EXPECT_NEAR(gradient[0][2].item<double>(), score * (1 - score), 1e-6);
}

TEST(Rotate, TurnsThePairsOfTheLastNumbers) {
  Rope rope;
  rope.theta = 100;
  for (const Rope::Layout layout : {Rope::Layout::kHalves, Rope::Layout::kInterleaved}) {
    rope.layout = layout;
    const std::int64_t tokens = 5;
    const RotaryTable table = MakeRotaryTable(rope, 4, tokens, std::array{tokens});
    const at::Tensor x = at::arange(14, at::kFloat).view({1, 1, 2, 7}).expand({1, tokens, 2, 7});
    const at::Tensor y = Rotate(x, table);
    EXPECT_TRUE(at::equal(y.narrow(-1, 0, 3), x.narrow(-1, 0, 3)));
    const std::int64_t second = layout == Rope::Layout::kHalves ? 5 : 4;
    const float a = x[0][2][1][3].item<float>(), b = x[0][2][1][second].item<float>();
    EXPECT_NEAR(y[0][2][1][3].item<float>(), a * std::cos(2.0F) - b * std::sin(2.0F), 1e-5);
    EXPECT_NEAR(y[0][2][1][second].item<float>(), b * std::cos(2.0F) + a * std::sin(2.0F), 1e-5);
  }
}

TEST(Rotate, DifferentiatesAsTheLinearMapItIs) {
  std::printf("seed 3\n");
  at::manual_seed(3);
  Rope rope;
  rope.type = Rope::Type::kYarn;  // the tables are scaled
  rope.factor = 8;
  rope.original_max_positions = 16;
  ASSERT_NE(rope.RotationScale(), 1);
  for (const Rope::Layout layout : {Rope::Layout::kHalves, Rope::Layout::kInterleaved}) {
    rope.layout = layout;
    const std::int64_t tokens = 6;
    const RotaryTable table = MakeRotaryTable(rope, 8, tokens, std::array{tokens});
    const at::Tensor x = at::randn({2, tokens, 3, 10}).requires_grad_();
    const at::Tensor direction = at::randn({2, tokens, 3, 10}), g = at::randn(direction.sizes());
    const at::Tensor gradient = torch::autograd::grad({(Rotate(x, table) * g).sum()}, {x})[0];
    EXPECT_NEAR((gradient * direction).sum().item<double>(),
                (Rotate(direction, table) * g).sum().item<double>(), 1e-4);
  }
}

TEST(Rotate, GoesByEachSequencesOwnLength) {
  Rope rope;
  rope.type = Rope::Type::kDynamic;
  rope.factor = 4;
  rope.original_max_positions = 4;
  const auto cosines = [&](std::vector<std::int64_t> lengths) {
    return MakeRotaryTable(rope, 8, 10, lengths).cosine;
  };
  const at::Tensor both = cosines({10, 4});
  EXPECT_TRUE(at::equal(both[0], cosines({10})[0]));
  EXPECT_TRUE(at::equal(both[1], cosines({4})[0]));
  EXPECT_FALSE(at::equal(both[0], both[1]));
}

// Changes of one rule each; the parity test allows logits 5e-5.
struct Broken {
  const char* fixture;
  const char* rule;
  std::function<void(Architecture&)> change;
};

at::Tensor LogitsOf(const model::ModelFiles& files, const Architecture& architecture) {
  const at::NoGradGuard no_grad;
  const Network network(architecture, LoadWeights(files, architecture).value());
  at::Tensor ids = at::arange(40).remainder(architecture.vocab_size).view({2, 20});
  return network.Logits(network.Hidden(ids, nullptr));
}

TEST(Network, EveryRuleShowsInTheLogits) {
  at::set_num_threads(1);
  const std::vector<Broken> rules = {
      {"qwen3", "theta", [](auto& a) { a.rope.theta *= 1.5; }},
      {"mistral-window", "window", [](auto& a) { a.sliding_window -= 1; }},
      {"qwen2-window", "window a layer", [](auto& a) { a.sliding_layers.flip(); }},
      {"llama-yarn", "scaled sines", [](auto& a) { a.rope.attention_factor = 1; }},
      {"llama-dynamic", "growing theta", [](auto& a) { a.rope.factor = 1; }},
      {"deepseek-v2", "layout", [](auto& a) { a.rope.layout = Rope::Layout::kHalves; }},
      {"deepseek-v2", "norms of latents", [](auto& a) { a.latent->norm_eps = 1e-2; }},
      {"deepseek-v2-groups", "scale", [](auto& a) { a.experts->scale = 1; }},
      {"deepseek-v2-groups", "groups", [](auto& a) { a.experts->groups_per_token = 1; }},
      {"deepseek-v2-groups", "gate", [](auto& a) { a.experts->gate = Experts::Gate::kSigmoid; }},
      {"deepseek-v3", "normalize", [](auto& a) { a.experts->normalize = false; }},
      {"deepseek-v3-mscale", "score scale", [](auto& a) { a.rope.mscale_all_dim = 0; }},
      {"deepseek-v3-biases", "worth of a group",
       [](auto& a) { a.experts->group_score = Experts::GroupScore::kBest; }},
  };
  for (const Broken& broken : rules) {
    const auto files =
        model::ModelFiles::Open(std::string(CLOISTER_TEST_DATA) + "/models/" + broken.fixture)
            .value();
    const Architecture right = files->architecture().value();
    Architecture wrong = right;
    broken.change(wrong);
    const at::Tensor difference = LogitsOf(*files, right) - LogitsOf(*files, wrong);
    EXPECT_GT(difference.abs().max().item<double>(), 1e-3) << broken.fixture << ": " << broken.rule;
  }
}

}  // namespace
}  // namespace cloister::trainer
