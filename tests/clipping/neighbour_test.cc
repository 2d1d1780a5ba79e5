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
  double error = 0;  // the stated summation error
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
            clipped->sum.summation_error()};
  }

  std::vector<Example> Without(std::size_t left_out) const {
    std::vector<Example> others = all_;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(left_out));
    return others;
  }

  static double Norm(const at::Tensor& x) { return at::linalg_vector_norm(x).item<double>(); }

  // Small enough that the test's examples are clipped.
  static constexpr double kClipNorm = 0.01;
  NetworkCase case_{GetParam(), 3, 0};
  std::unique_ptr<TrainableModel> model_;
  std::vector<Example> all_;
};

TEST_P(NeighbouringDraws, SumMovesByTheStatedSensitivityAtMost) {
  const Sum whole = SumOf(all_);
  for (std::size_t x = 0; x < all_.size(); ++x) {
    const double moved = Norm(whole.values - SumOf(Without(x)).values);
    EXPECT_LE(moved, kClipNorm + 2 * whole.error);
    EXPECT_GT(moved, 0.99 * kClipNorm);
  }
}

// The last example is added last: before it, the sum is what it would be had it not been drawn.
TEST_P(NeighbouringDraws, TheOthersContributeTheSameBitsWhoeverElseIsDrawn) {
  for (std::size_t x = 0; x < all_.size(); ++x) {
    std::vector<Example> drawn = Without(x);
    const at::Tensor without = SumOf(drawn).values;
    drawn.push_back(all_[x]);
    const at::Tensor with = SumOf(drawn).values;
    // One example is one rounding in fp64 away: of its product with its factor and of the addition.
    const at::Tensor alone = SumOf({all_[x]}).values;
    EXPECT_LE(Norm(with - without - alone),
              0x1p-50 * kClipNorm * static_cast<double>(drawn.size()));
    EXPECT_TRUE(at::equal(SumOf(drawn).values, with));
  }
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
