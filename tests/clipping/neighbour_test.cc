// The sensitivity that docs/design/0005-clipping.md states, on the sums that training makes.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/clipping/network_case.h"
#include "tests/clipping/torch.h"
#include "trainer/trainable_model.h"

namespace cloister::dp::clipping {
namespace {

using trainer::Example;
using trainer::TrainableModel;

struct Sum {
  at::Tensor values;
  double excess = 0;  // as stated
};

class NeighbouringDraws : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const auto files =
        model::ModelFiles::Open(std::string(CLOISTER_TEST_DATA) + "/models/" + GetParam()).value();
    model_ = TrainableModel::Load(*files, case_.config()).value();
    ASSERT_TRUE(model_->SetParameters(case_.values()));
    for (std::size_t i = 0; i < case_.examples(); ++i) all_.push_back(case_.example(i));
  }

  ClippedSum Clip(const std::vector<Example>& examples, double clip_norm = kClipNorm) const {
    std::vector<trainer::UnitExamples> units;
    for (const Example& example : examples) units.push_back({example});
    auto clipped = model_->ClippedGradient(units,
                                           {.rule = {.clip_norms = {clip_norm}},
                                            .unit = PrivacyUnit::kRecord,
                                            .neighbours = Neighbours::kAddOrRemoveOne},
                                           {});
    EXPECT_TRUE(clipped);
    return std::move(clipped->sum);
  }
  Sum SumOf(const std::vector<Example>& examples) const {
    const ClippedSum sum = Clip(examples);
    return {Values(sum), sum.excess()};
  }

  std::vector<Example> Without(std::size_t left_out) const {
    std::vector<Example> others = all_;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(left_out));
    return others;
  }

  static double Norm(const at::Tensor& x) { return at::linalg_vector_norm(x).item<double>(); }

  // Small enough that the test's examples are clipped.
  static constexpr double kClipNorm = 0x1p-7;
  NetworkCase case_{GetParam(), 3, 0};
  std::unique_ptr<TrainableModel> model_;
  std::vector<Example> all_;
};

TEST_P(NeighbouringDraws, SumMovesByTheStatedSensitivityAtMost) {
  const Sum whole = SumOf(all_);
  for (std::size_t x = 0; x < all_.size(); ++x) {
    const double moved = Norm(whole.values - SumOf(Without(x)).values);
    EXPECT_LE(moved, kClipNorm + whole.excess);
    EXPECT_GT(moved, 0.99 * kClipNorm);
  }
}

TEST_P(NeighbouringDraws, TheOthersContributeTheSameBitsWhoeverElseIsDrawn) {
  for (std::size_t x = 0; x < all_.size(); ++x) {
    std::vector<Example> drawn = Without(x);
    const at::Tensor without = SumOf(drawn).values;
    drawn.push_back(all_[x]);
    const at::Tensor with = SumOf(drawn).values;
    // Differences of multiples of a power of two, which are exact.
    EXPECT_TRUE(at::equal(with - without, SumOf({all_[x]}).values));
  }
}

TEST_P(NeighbouringDraws, TheNumberOfThreadsDoesNotShow) {
  const at::Tensor alone = SumOf(all_).values;
  for (const int threads : {2, 3, 8}) {
    at::set_num_threads(threads);
    EXPECT_TRUE(at::equal(SumOf(all_).values, alone)) << threads;
  }
  at::set_num_threads(1);
}

// Ranks of one run: each clips what it drew from its own shard, and the exact sums are added.
TEST_P(NeighbouringDraws, RanksTogetherMakeTheSumOfOne) {
  const at::Tensor alone = SumOf(all_).values;
  for (const std::size_t ranks : {2U, 3U, 9U}) {  // with nine, some are empty
    std::vector<ClippedSum> sums;
    for (std::size_t rank = 0; rank < ranks; ++rank) {
      std::vector<Example> drawn;
      for (std::size_t i = rank; i < all_.size(); i += ranks) drawn.push_back(all_[i]);
      sums.push_back(Clip(drawn));
    }
    const auto joined = ClippedSum::Join(std::move(sums));
    ASSERT_TRUE(joined) << joined.error().message;
    EXPECT_TRUE(at::equal(Values(*joined), alone)) << ranks;
    EXPECT_EQ(joined->excess(), SumOf({}).excess);
  }
  // A rank that clips by another norm is no part of it, and neither is nothing at all.
  std::vector<ClippedSum> other;
  other.push_back(Clip(all_));
  other.push_back(Clip(all_, 2 * kClipNorm));
  EXPECT_FALSE(ClippedSum::Join(std::move(other)));
  EXPECT_FALSE(ClippedSum::Join({}));
}

INSTANTIATE_TEST_SUITE_P(Clipping, NeighbouringDraws,
                         testing::Values("llama", "llama-tied-rope3", "deepseek-v3",
                                         "llama-dynamic"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace cloister::dp::clipping
