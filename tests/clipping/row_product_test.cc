// Products of activations and weights, on each instruction set that this processor has.
#include "dp/clipping/row_product.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <limits>

#include "dp/clipping/norm_bound.h"

namespace cloister::dp::clipping {
namespace {

constexpr const char* kNames[] = {"scalar", "avx2", "avx512"};

class RowProductOnTier : public testing::TestWithParam<TileTier> {
 protected:
  void SetUp() override {
    at::manual_seed(31);
    std::printf("seed 31\n");
  }
  const RowTileKernel kernel_ = RowTileKernelOf(GetParam());
};

at::Tensor Wide(const at::Tensor& x) { return x.to(at::kDouble); }

// Whether each entry is off by no more than the roundings of its own terms.
bool IsProduct(const at::Tensor& got, const at::Tensor& x, const at::Tensor& w,
               const at::Tensor& bias) {
  at::Tensor exact = at::mm(Wide(x), Wide(w).t());
  at::Tensor size = at::mm(Wide(x).abs(), Wide(w).abs().t());
  if (bias.defined()) {
    exact = exact + Wide(bias);
    size = size + Wide(bias).abs();
  }
  const at::Tensor allowed = size * Gamma32(static_cast<double>(x.size(1)) + 1);
  return got.sizes() == exact.sizes() && ((got - exact).abs() <= allowed).all().item<bool>();
}

TEST_P(RowProductOnTier, IsTheExactProductWhateverTheSizeAndTheOrderOfTheWeight) {
  for (const std::int64_t rows : {1, 7, 127, 300}) {
    for (const std::int64_t depth : {1, 16, 33, 576, 1300}) {
      for (const std::int64_t columns : {1, 24, 64, 97, 200}) {
        const at::Tensor x = at::randn({rows, depth});
        for (const bool by_columns : {true, false}) {
          const at::Tensor w =
              by_columns ? at::randn({columns, depth}) : at::randn({depth, columns}).t();
          for (const at::Tensor& bias : {at::Tensor(), at::randn({columns})}) {
            ASSERT_TRUE(IsProduct(RowProduct(x, w, bias, kernel_), x, w, bias))
                << rows << " x " << depth << " x " << columns << ", " << by_columns;
          }
          // The comparison sees a factor rounded to bfloat16.
          if (depth == 33 && rows > 100 && columns > 90) {
            const at::Tensor coarse = x.to(at::kBFloat16).to(at::kFloat);
            ASSERT_FALSE(IsProduct(RowProduct(coarse, w, {}, kernel_), x, w, {}));
          }
        }
      }
    }
  }
}

// The head's input gradient has a term for each word of the vocabulary. In one sum of so many the
// roundings pile up: 1.5e-5 here, instead of 5e-7.
TEST_P(RowProductOnTier, RoundingsDoNotPileUpOverATermForEveryWord) {
  constexpr std::int64_t kDepth = 151'936;
  const at::Tensor x = at::rand({4, kDepth}), w = at::rand({8, kDepth});
  const at::Tensor exact = at::mm(Wide(x), Wide(w).t());
  const auto error = [&](const at::Tensor& y) {
    return ((y - exact).abs() / exact).max().item<double>();
  };
  EXPECT_LT(error(RowProduct(x, w, {}, kernel_)), 2e-6);
  // The comparison sees one sum.
  at::Tensor chain = at::empty({4, 8});
  for (std::int64_t i = 0; i < 4; ++i) {
    for (std::int64_t j = 0; j < 8; ++j) {
      const auto a = x[i], b = w[j];
      const float *const left = a.const_data_ptr<float>(), *const right = b.const_data_ptr<float>();
      float sum = 0;
      for (std::int64_t t = 0; t < kDepth; ++t) sum = std::fma(left[t], right[t], sum);
      chain[i][j] = sum;
    }
  }
  EXPECT_GT(error(chain), 2e-6);
}

TEST_P(RowProductOnTier, RowIsTheSameBitsAloneAmongOthersAndOnAnyNumberOfThreads) {
  const at::Tensor x = at::randn({2, 290, 700}), w = at::randn({450, 700});
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor all = RowProduct(x, w, {}, kernel_);
  at::set_num_threads(3);
  const at::Tensor shared = RowProduct(x, w, {}, kernel_);
  at::set_num_threads(threads);
  EXPECT_EQ(all.sizes(), (at::IntArrayRef{2, 290, 450}));
  EXPECT_TRUE(at::equal(all, shared));
  for (const std::int64_t row : {0, 5, 255, 256, 289}) {
    EXPECT_TRUE(at::equal(RowProduct(x[1][row].unsqueeze(0), w, {}, kernel_)[0], all[1][row]));
  }
}

TEST_P(RowProductOnTier, RowThatIsNotFiniteLeavesTheOthersAlone) {
  at::Tensor x = at::randn({9, 40});
  const at::Tensor w = at::randn({70, 40}), before = RowProduct(x, w, {}, kernel_);
  x[4][17] = std::numeric_limits<float>::quiet_NaN();
  const at::Tensor after = RowProduct(x, w, {}, kernel_);
  EXPECT_TRUE(after[4].isnan().all().item<bool>());
  EXPECT_TRUE(at::equal(after.narrow(0, 0, 4), before.narrow(0, 0, 4)));
  EXPECT_TRUE(at::equal(after.narrow(0, 5, 4), before.narrow(0, 5, 4)));
}

TEST(RowProduct, TakesContiguousFactorsOfFp32Alone) {
  const bool fast = SupportedTileTiers().back() != TileTier::kScalar;
  const at::Tensor x = at::randn({4, 4}), w = at::randn({5, 4});
  EXPECT_EQ(TakesRowProduct(x, w), fast);
  EXPECT_EQ(TakesRowProduct(x, at::randn({4, 5}).t()), fast);
  EXPECT_FALSE(TakesRowProduct(at::randn({4, 4}).t(), w));
  EXPECT_FALSE(TakesRowProduct(x, at::randn({5, 8}).narrow(1, 0, 4)));
  EXPECT_FALSE(TakesRowProduct(x.to(at::kBFloat16), w.to(at::kBFloat16)));
  EXPECT_FALSE(TakesRowProduct(at::randn({3, 4}), w));
  EXPECT_FALSE(TakesRowProduct(at::empty({0, 4}), w));
}

INSTANTIATE_TEST_SUITE_P(Tiers, RowProductOnTier, testing::ValuesIn(SupportedTileTiers()),
                         [](const auto& tier) { return kNames[static_cast<int>(tier.param)]; });

}  // namespace
}  // namespace cloister::dp::clipping
