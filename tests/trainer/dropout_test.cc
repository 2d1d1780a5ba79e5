// Dropout of an adapter's inputs: what falls on an example is its own, and what is clipped is the
// gradient of what was dropped.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <set>

#include "tests/clipping/network_case.h"
#include "tests/clipping/torch.h"

namespace cloister::trainer {
namespace {

using dp::clipping::BookKeeping;
using dp::clipping::NetworkCase;
using dp::clipping::UnitClipper;

constexpr double kRate = 0.3;

Example Of(std::vector<model::TokenId> ids) {
  Example example;
  example.answer.assign(ids.size(), 1);
  example.answer.front() = 0;
  example.ids = std::move(ids);
  return example;
}

Dropout DropoutOf(const std::vector<Example>& examples, std::uint64_t seed, std::int64_t step,
                  double rate = kRate) {
  std::vector<std::size_t> all(examples.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  return {rate, DrawsOf(examples, all, seed, step)};
}

// What x of ones becomes.
at::Tensor Mask(const Dropout& dropout, std::int64_t tokens, std::int64_t size,
                std::int64_t path = 0) {
  const auto batch = static_cast<std::int64_t>(dropout.draws.size());
  return DropInputs(at::ones({batch, tokens, size}), dropout, path);
}

TEST(Dropout, LeavesOutTheShareThatIsAskedAndKeepsTheMean) {
  for (const double rate : {0.05, 0.3, 0.9}) {
    const Dropout dropout = DropoutOf({Of({1, 2, 3})}, 11, 1, rate);
    const at::Tensor mask = Mask(dropout, 200, 501);
    const double count = static_cast<double>(mask.numel());
    const double dropped = (mask == 0).sum().item<double>() / count;
    EXPECT_NEAR(dropped, rate, 5 * std::sqrt(rate * (1 - rate) / count));
    EXPECT_TRUE(at::all((mask == 0) | (mask == static_cast<float>(1 / (1 - rate)))).item<bool>());
    EXPECT_NEAR(mask.mean().item<double>(), 1, 0.05);
    // Neighbours, which share a word, and places of two tokens are as good as independent.
    const at::Tensor centred = (mask[0] == 0).to(at::kDouble) - rate;
    const auto correlation = [&](const at::Tensor& a, const at::Tensor& b) {
      return (a * b).mean().item<double>() / (rate * (1 - rate));
    };
    EXPECT_NEAR(correlation(centred.narrow(1, 0, 500), centred.narrow(1, 1, 500)), 0, 0.02);
    EXPECT_NEAR(correlation(centred.narrow(0, 0, 199), centred.narrow(0, 1, 199)), 0, 0.02);
  }
}

TEST(Dropout, IsTheExamplesOwnWhoeverStandsBesideIt) {
  const Example one = Of({5, 6, 7}), other = Of({5, 6, 8}), third = Of({1, 2, 3, 4, 5, 6});
  const at::Tensor alone = Mask(DropoutOf({one}, 1, 4), 3, 33);
  const at::Tensor batch = Mask(DropoutOf({third, one, other}, 1, 4), 8, 33);  // padded, elsewhere
  EXPECT_TRUE(at::equal(batch[1].narrow(0, 0, 3), alone[0]));
  EXPECT_FALSE(at::equal(batch[2].narrow(0, 0, 3), alone[0]));
}

TEST(Dropout, DiffersBetweenStepsSeedsPathsTokensAndExamples) {
  const std::vector<Example> examples = {Of({5, 6, 7}), Of({5, 7, 6}), Of({5, 6})};
  std::set<std::vector<bool>> masks;
  std::size_t made = 0;
  const auto add = [&](const at::Tensor& rows) {
    for (std::int64_t token = 0; token < rows.size(0); ++token) {
      const at::Tensor kept = (rows[token] != 0).contiguous();
      masks.emplace(kept.const_data_ptr<bool>(), kept.const_data_ptr<bool>() + kept.numel());
      ++made;
    }
  };
  for (const std::uint64_t seed : {0, 1}) {
    for (const std::int64_t step : {1, 2}) {
      for (const std::int64_t path : {0, 2, 4}) {
        const at::Tensor mask = Mask(DropoutOf(examples, seed, step), 2, 96, path);
        for (std::int64_t i = 0; i < 3; ++i) add(mask[i]);
      }
    }
  }
  EXPECT_EQ(masks.size(), made);
}

TEST(Dropout, DifferentiatesAsTheMaskThatItIs) {
  const Dropout dropout = DropoutOf({Of({1, 2}), Of({3, 4})}, 3, 9);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    at::manual_seed(1);
    const at::Tensor x = at::randn({2, 5, 17}).to(type).requires_grad_();
    const at::Tensor y = DropInputs(x, dropout, 2), mask = Mask(dropout, 5, 17, 2);
    EXPECT_EQ(y.scalar_type(), type);
    EXPECT_TRUE(at::equal(y.detach(), (x.detach().to(at::kFloat) * mask).to(type)));
    const at::Tensor g = at::randn(x.sizes()).to(type);
    EXPECT_TRUE(
        at::equal(torch::autograd::grad({y}, {x}, {g})[0], (g.to(at::kFloat) * mask).to(type)));
  }
}

// On whole networks, with and without activation checkpointing.
struct Setting {
  std::string fixture;
  bool checkpointing;
};

class DroppedAdapter : public testing::TestWithParam<Setting> {
 protected:
  static NetworkCase Case(double rate = kRate, std::int64_t step = 3) {
    NetworkCase one(GetParam().fixture, 3, 0,
                    {.activation_checkpointing = GetParam().checkpointing});
    one.DropInputs(rate, step);
    return one;
  }

  static at::Tensor GradientAlone(const NetworkCase& one, std::size_t example) {
    std::vector<at::Tensor> flat;
    for (const at::Tensor& part : one.PlainGradients(std::array{example})) {
      flat.push_back(part.flatten().to(at::kDouble));
    }
    return at::cat(flat);
  }

  static double Norm(const at::Tensor& x) { return at::linalg_vector_norm(x).item<double>(); }
  static double Error(const at::Tensor& a, const at::Tensor& b) { return Norm(a - b) / Norm(b); }

  // Each example alone, by ordinary differentiation, clipped, added.
  static at::Tensor NaiveSum(const NetworkCase& one, double clip_norm) {
    at::Tensor sum = at::zeros({one.parameters()}, at::TensorOptions(at::kDouble));
    for (std::size_t i = 0; i < one.examples(); ++i) {
      const at::Tensor gradient = GradientAlone(one, i);
      sum += gradient * std::min(1.0, clip_norm / Norm(gradient));
    }
    return sum;
  }

  static at::Tensor EngineSum(const NetworkCase& one, double clip_norm) {
    BookKeeping engine =
        BookKeeping::Create(one.shapes(), {.rule = {.clip_norms = {clip_norm}},
                                           .unit = dp::PrivacyUnit::kRecord,
                                           .neighbours = dp::Neighbours::kAddOrRemoveOne})
            .value();
    UnitClipper unit(engine);
    for (std::size_t i = 0; i < one.examples(); ++i) {
      one.Run(std::array{i}, unit);
      const auto norm = unit.EndUnit();
      EXPECT_TRUE(norm);
      const double expected = Norm(GradientAlone(one, i));
      EXPECT_NEAR(norm->computed, expected, 1e-3 * expected);
    }
    return dp::clipping::Values(std::move(engine).Finish());
  }
};

TEST_P(DroppedAdapter, ClippedSumEqualsTheNaiveLoops) {
  const NetworkCase one = Case();
  const double clip_norm = Norm(GradientAlone(one, 0));
  const at::Tensor naive = NaiveSum(one, clip_norm);
  EXPECT_LT(Error(EngineSum(one, clip_norm), naive), 1e-5);
  // The comparison would see clipping by inputs that were not dropped, or dropped otherwise.
  EXPECT_GT(Error(EngineSum(Case(0), clip_norm), naive), 1e-2);
  EXPECT_GT(Error(EngineSum(Case(kRate, 4), clip_norm), naive), 1e-2);
}

TEST_P(DroppedAdapter, ABatchIsTheSumOfItsExamples) {
  const NetworkCase one = Case();
  const std::array<std::size_t, 3> batch = {1, 3, 4};
  std::vector<at::Tensor> flat;
  for (const at::Tensor& part : one.PlainGradients(batch)) {
    flat.push_back(part.flatten().to(at::kDouble));
  }
  at::Tensor sum = GradientAlone(one, 1) + GradientAlone(one, 3) + GradientAlone(one, 4);
  EXPECT_LT(Error(at::cat(flat), sum), 1e-5);
}

TEST_P(DroppedAdapter, CheckpointingDropsTheSameAgain) {
  NetworkCase kept(GetParam().fixture, 3, 0);
  kept.DropInputs(kRate, 3);
  const auto expected = kept.PlainGradients(std::array<std::size_t, 2>{0, 2});
  const auto got = Case().PlainGradients(std::array<std::size_t, 2>{0, 2});
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(at::equal(got[i], expected[i])) << i;
}

INSTANTIATE_TEST_SUITE_P(Trainer, DroppedAdapter,
                         testing::Values(Setting{"llama", false}, Setting{"llama", true},
                                         Setting{"deepseek-v2", false},
                                         Setting{"deepseek-v3", true}, Setting{"qwen3", false}),
                         [](const auto& info) {
                           std::string name = info.param.fixture +
                                              (info.param.checkpointing ? "_checkpointed" : "");
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace cloister::trainer
