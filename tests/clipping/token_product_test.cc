// Products of tokens' factors, on each instruction set that this processor has.
#include "dp/clipping/token_product.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <vector>

#include "dp/clipping/norm_bound.h"

namespace cloister::dp::clipping {
namespace {

constexpr const char* kNames[] = {"scalar", "avx2", "avx512"};

class OnTier : public testing::TestWithParam<TileTier> {
 protected:
  void SetUp() override {
    at::manual_seed(23);
    std::printf("seed 23\n");
  }
  const TileKernel kernel_ = TileKernelOf(GetParam());
};

// Row by row as they come, none twice and none left out.
at::Tensor Product(const at::Tensor& left, const at::Tensor& right, const TileKernel& kernel) {
  at::Tensor product = at::full({left.size(1), right.size(1)}, NAN);
  std::int64_t next = 0;
  ForEachRows(
      ViewOf(left), ViewOf(right),
      [&](std::int64_t row, std::span<const float> numbers) {
        EXPECT_EQ(row, next);
        const auto count = static_cast<std::int64_t>(numbers.size());
        EXPECT_EQ(count % right.size(1), 0);
        next = row + count / right.size(1);
        std::copy(numbers.begin(), numbers.end(),
                  product.mutable_data_ptr<float>() + row * right.size(1));
      },
      nullptr, kernel);
  EXPECT_EQ(next, left.size(1));
  return product;
}

TEST_P(OnTier, RowsAreThoseOfTheExactProductWhateverTheSize) {
  for (const std::int64_t tokens : {1, 3, 127, 600}) {
    for (const std::int64_t rows : {1, 8, 33, 300}) {
      for (const std::int64_t columns : {1, 24, 32, 97, 576}) {
        const at::Tensor left = at::randn({tokens, rows}), right = at::randn({tokens, columns});
        const at::Tensor exact = at::mm(left.to(at::kDouble).t(), right.to(at::kDouble));
        // Each entry's own bound: the roundings of so many terms.
        const at::Tensor bound =
            at::mm(left.to(at::kDouble).abs().t(), right.to(at::kDouble).abs()) *
            Gamma32(static_cast<double>(tokens) + 1);
        const at::Tensor product = Product(left, right, kernel_);
        ASSERT_TRUE(((product - exact).abs() <= bound).all().item<bool>())
            << tokens << " x " << rows << " x " << columns;
        // The comparison sees a factor rounded to bfloat16.
        if (tokens == 127) {
          const at::Tensor coarse = Product(left.to(at::kBFloat16).to(at::kFloat), right, kernel_);
          ASSERT_FALSE(((coarse - exact).abs() <= bound).all().item<bool>());
        }
      }
    }
  }
}

TEST_P(OnTier, GramIsTheExactOneBelowTheDiagonal) {
  for (const std::int64_t tokens : {1, 7, 32, 127}) {
    for (const std::int64_t width : {1, 15, 128, 512, 1111}) {
      const at::Tensor x = at::randn({tokens, width});
      const at::Tensor exact = at::mm(x.to(at::kDouble), x.to(at::kDouble).t());
      const at::Tensor norms = exact.diagonal().sqrt();
      const std::vector<double> gram = TokenGram(ViewOf(x), kernel_);
      for (std::int64_t i = 0; i < tokens; ++i) {
        for (std::int64_t j = 0; j < tokens; ++j) {
          const double computed = gram[static_cast<std::size_t>(i * tokens + j)];
          const double bound =
              1.01 * Gamma32(kGramTerms) * norms[i].item<double>() * norms[j].item<double>();
          if (j <= i) {
            ASSERT_NEAR(computed, exact[i][j].item<double>(), bound) << i << " " << j;
          } else {
            ASSERT_EQ(computed, 0);
          }
        }
      }
    }
  }
}

// Beyond 2^24, where fp32 stops counting.
TEST_P(OnTier, GramAddsLongSumsInFp64) {
  const at::Tensor ones = at::ones({1, (std::int64_t{1} << 24) + 4096});
  EXPECT_EQ(TokenGram(ViewOf(ones), kernel_)[0], static_cast<double>(ones.numel()));
}

TEST_P(OnTier, NothingIsVisitedWithoutTokens) {
  const at::Tensor none = at::empty({0, 40});
  ForEachRows(
      ViewOf(none), ViewOf(none), [](std::int64_t, std::span<const float>) { FAIL(); }, nullptr,
      kernel_);
}

TEST_P(OnTier, EveryBitOfAFactorCounts) {
  const at::Tensor fine = at::full({1, 40}, 1 + 0x1p-23F), one = at::ones({1, 40});
  EXPECT_TRUE(at::equal(Product(fine, one, kernel_), at::full({40, 40}, 1 + 0x1p-23F)));
  EXPECT_TRUE(at::equal(Product(one, fine, kernel_), at::full({40, 40}, 1 + 0x1p-23F)));
}

TEST_P(OnTier, WhatIsNotFiniteStaysInItsRowAndColumn) {
  at::Tensor left = at::ones({5, 30}), right = at::ones({5, 50});
  left[2][7] = INFINITY;
  const at::Tensor product = Product(left, right, kernel_);
  EXPECT_EQ(at::isfinite(product).logical_not().sum().item<std::int64_t>(), 50);
  EXPECT_TRUE(at::isinf(product[7]).all().item<bool>());
}

INSTANTIATE_TEST_SUITE_P(Clipping, OnTier, testing::ValuesIn(SupportedTileTiers()),
                         [](const auto& info) {
                           return kNames[static_cast<std::size_t>(info.param)];
                         });

}  // namespace
}  // namespace cloister::dp::clipping
