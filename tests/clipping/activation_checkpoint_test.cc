// Activation checkpointing changes memory and time, and not a bit of what is clipped.
#include "trainer/networks/activation_checkpoint.h"

#include <gtest/gtest.h>

#include <thread>

#include "dp/mechanism/unnoised.h"
#include "tests/clipping/network_case.h"
#include "tests/clipping/whole_network.h"
#include "tests/model/fixture_folders.h"

namespace cloister::dp::clipping {
namespace {

constexpr trainer::ComputeOptions kCheckpointing = {.activation_checkpointing = true};

void ExpectSame(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i].defined(), b[i].defined());
    EXPECT_TRUE(!a[i].defined() || at::equal(a[i], b[i])) << i;
  }
}

class CheckpointedFixture : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(CheckpointedFixture, ObserversOfAllWeightsAreToldTheSameBitsOnce) {
  const WholeNetwork kept(GetParam(), {}), again(GetParam(), kCheckpointing);
  for (std::size_t i = 0; i < kept.examples(); ++i) {
    Recorder expected, recomputed;
    EXPECT_EQ(kept.Run(i, expected), again.Run(i, recomputed));
    EXPECT_TRUE(expected.told == recomputed.told) << "example " << i;
  }
}

TEST_P(CheckpointedFixture, OrdinaryGradientsOfAllWeightsAreTheSameBits) {
  const WholeNetwork kept(GetParam(), {}), again(GetParam(), kCheckpointing);
  for (std::size_t i = 0; i < kept.examples(); ++i) {
    ExpectSame(kept.PlainGradients(i), again.PlainGradients(i));
  }
}

// Norms and clipped sums, by the engine.
TEST_P(CheckpointedFixture, ClippedSumsAreTheSameBits) {
  const auto clipped = [&](const trainer::ComputeOptions& options) {
    const WholeNetwork network(GetParam(), options);
    BookKeeping engine =
        BookKeeping::Create(network.numbers().shapes(), {.rule = {.clip_norms = {1.0}},
                                                         .unit = PrivacyUnit::kRecord,
                                                         .neighbours = Neighbours::kAddOrRemoveOne})
            .value();
    UnitClipper unit(engine);
    std::vector<double> norms;
    for (std::size_t i = 0; i < network.examples(); ++i) {
      network.Run(i, unit);
      norms.push_back(unit.EndUnit()->bound);
    }
    return std::pair(norms, Unnoised::Values(std::move(engine).Finish()));
  };
  EXPECT_EQ(clipped({}), clipped(kCheckpointing));
}

INSTANTIATE_TEST_SUITE_P(Clipping, CheckpointedFixture,
                         testing::ValuesIn(cloister::fixtures::FixtureFolders()),
                         [](const auto& info) {
                           return cloister::fixtures::FixtureName(info.param);
                         });

struct Setting {
  std::string fixture;
  std::int64_t first_layer;
};

class CheckpointedAdapter : public testing::TestWithParam<Setting> {
 protected:
  static NetworkCase Case(const trainer::ComputeOptions& options) {
    return {GetParam().fixture, 3, GetParam().first_layer, options};
  }
};

TEST_P(CheckpointedAdapter, ObserversAreToldTheSameBitsOnce) {
  const NetworkCase kept = Case({}), again = Case(kCheckpointing);
  for (std::size_t i = 0; i < kept.examples(); ++i) {
    Recorder expected, recomputed;
    kept.Run(std::array{i}, expected);
    again.Run(std::array{i}, recomputed);
    EXPECT_EQ(expected.told.size(), kept.shapes().size());  // each matrix once
    EXPECT_TRUE(expected.told == recomputed.told) << "example " << i;
  }
}

TEST_P(CheckpointedAdapter, OrdinaryGradientsReachTheLeaves) {
  const NetworkCase kept = Case({}), again = Case(kCheckpointing);
  const std::array<std::size_t, 3> batch = {0, 2, 3};
  ExpectSame(kept.PlainGradients(batch), again.PlainGradients(batch));
}

// Each thread has a pass and an observer of its own; the recomputations do not meet.
TEST_P(CheckpointedAdapter, PassesOfSeveralThreadsDoNotMeet) {
  const NetworkCase network = Case(kCheckpointing);
  constexpr int kRounds = 10;
  std::vector<std::vector<Told>> expected(network.examples());
  for (std::size_t i = 0; i < network.examples(); ++i) {
    Recorder alone;
    network.Run(std::array{i}, alone);
    expected[i] = std::move(alone.told);
  }
  std::array<int, 3> right = {};
  std::vector<std::thread> threads;
  for (std::size_t which = 0; which < right.size(); ++which) {
    threads.emplace_back([&, which] {
      for (int round = 0; round < kRounds; ++round) {
        const std::size_t i = (which + static_cast<std::size_t>(round)) % network.examples();
        Recorder mine;
        network.Run(std::array{i}, mine);
        if (mine.told == expected[i]) ++right[which];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int count : right) EXPECT_EQ(count, kRounds);
}

INSTANTIATE_TEST_SUITE_P(Clipping, CheckpointedAdapter,
                         testing::Values(Setting{"llama", 0}, Setting{"llama", 1},
                                         Setting{"llama-tied-rope3", 0}, Setting{"deepseek-v2", 0},
                                         Setting{"deepseek-v3", 1}, Setting{"qwen3", 0}),
                         [](const auto& info) {
                           std::string name = info.param.fixture + "_from" +
                                              std::to_string(info.param.first_layer);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(Checkpoint, RunsTwiceAndKeepsNoGraphInBetween) {
  std::vector<bool> with_autograd;
  const at::Tensor w = at::full({3}, 2.0F).requires_grad_(), frozen = at::ones({3});
  const trainer::Segment segment = [&](const at::Tensor& x) {
    with_autograd.push_back(at::GradMode::is_enabled());
    return (x * w + frozen).sin();
  };
  const at::Tensor x = at::arange(3, at::kFloat).requires_grad_();
  const auto direct = torch::autograd::grad({segment(x).sum()}, {x, w});
  with_autograd.clear();
  const at::Tensor y = trainer::Checkpoint(segment, x, {w, frozen});
  EXPECT_EQ(with_autograd, std::vector<bool>{false});
  ExpectSame(torch::autograd::grad({y.sum()}, {x, w}), direct);
  EXPECT_EQ(with_autograd, (std::vector<bool>{false, true}));
  // Of one of them alone, and into the leaves themselves.
  ExpectSame(torch::autograd::grad({trainer::Checkpoint(segment, x, {w}).sum()}, {w}), {direct[1]});
  torch::autograd::backward({trainer::Checkpoint(segment, x.detach(), {w}).sum()}, {});
  EXPECT_TRUE(at::equal(w.grad(), direct[1]));
  // A leaf that is not named gets nothing: the comparisons above would see it.
  EXPECT_ANY_THROW(torch::autograd::grad({trainer::Checkpoint(segment, x, {}).sum()}, {w}));
}

TEST(Checkpoint, IsTheSegmentWithoutAutograd) {
  const at::NoGradGuard no_grad;
  int runs = 0;
  const at::Tensor y = trainer::Checkpoint(
      [&](const at::Tensor& x) {
        ++runs;
        return x + 1;
      },
      at::zeros({2}), {});
  EXPECT_EQ(runs, 1);
  EXPECT_TRUE(at::equal(y, at::ones({2})));
}

}  // namespace
}  // namespace cloister::dp::clipping
