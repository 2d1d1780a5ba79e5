// The sensitivity that docs/design/0005-clipping.md states, on the sums that training makes.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/clipping/network_case.h"
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

  Sum SumOf(const std::vector<Example>& examples) const {
    std::vector<trainer::UnitExamples> units;
    for (const Example& example : examples) units.push_back({example});
    const auto clipped = model_->ClippedGradient(units,
                                                 {.rule = {.clip_norms = {kClipNorm}},
                                                  .unit = PrivacyUnit::kRecord,
                                                  .neighbours = Neighbours::kAddOrRemoveOne},
                                                 {});
    EXPECT_TRUE(clipped);
    return {at::tensor(clipped->sum.values(), at::TensorOptions(at::kDouble)),
            clipped->sum.excess()};
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
