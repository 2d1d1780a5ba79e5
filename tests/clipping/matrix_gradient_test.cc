// The bound on a computed norm, where floating point computes it badly.
#include "dp/clipping/matrix_gradient.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <variant>
#include <vector>

#include "dp/clipping/lookup_gradient.h"
#include "dp/clipping/token_product.h"

namespace cloister::dp::clipping {
namespace {

constexpr NormMethod kMethods[] = {NormMethod::kInstantiate, NormMethod::kGram};

double Norm(const at::Tensor& x) { return at::linalg_vector_norm(x).item<double>(); }

// In fp64, which is exact enough: the factors are fp32.
at::Tensor Exact(const at::Tensor& left, const at::Tensor& right) {
  return at::mm(left.to(at::kDouble).t(), right.to(at::kDouble));
}

// Adds what a gradient gives to be added.
template <typename Gradient>
void AddTo(const at::Tensor& sum, const Gradient& gradient) {
  double* const to = sum.mutable_data_ptr<double>();
  gradient.ForEachPiece([&](std::int64_t row, const Numbers& numbers) {
    std::visit(
        [&](auto values) {
          for (std::size_t i = 0; i < values.size(); ++i) to[row * sum.size(1) + i] += values[i];
        },
        numbers);
  });
}

at::Tensor Added(const MatrixGradient& gradient, std::int64_t rows, std::int64_t columns) {
  const at::Tensor sum = at::zeros({rows, columns}, at::TensorOptions(at::kDouble));
  AddTo(sum, gradient);
  return sum;
}

// By Gram matrices in fp32, as it is usually done.
double Fp32GramNorm(const at::Tensor& left, const at::Tensor& right) {
  const double squared = (at::mm(left, left.t()) * at::mm(right, right.t())).sum().item<double>();
  return std::sqrt(std::max(0.0, squared));
}

struct Size {
  std::int64_t tokens, rows, columns;
};

class OfSize : public testing::TestWithParam<Size> {
 protected:
  void SetUp() override {
    at::set_num_threads(1);
    at::manual_seed(17);
    std::printf("seed 17\n");
  }
};

TEST_P(OfSize, NormAndSumAreTheExactOnesBothWays) {
  const auto [tokens, rows, columns] = GetParam();
  const at::Tensor left = at::randn({tokens, rows}), right = at::randn({tokens, columns});
  const at::Tensor exact = Exact(left, right);
  for (const NormMethod method : kMethods) {
    const MatrixGradient gradient(left, right, method);
    EXPECT_NEAR(gradient.norm().computed(), Norm(exact), 1e-6 * Norm(exact));
    EXPECT_LE(gradient.norm().upper(), 1.05 * Norm(exact));
    const at::Tensor added = Added(gradient, rows, columns);
    EXPECT_LE(Norm(added - exact), 1e-6 * Norm(exact));
    EXPECT_LE(Norm(added), gradient.norm().upper());
    EXPECT_GE(gradient.size(), Norm(exact));
  }
}

// Half of the tokens undo the other half but for a few units in the last place.
TEST_P(OfSize, BoundHoldsWhereTokensNearlyCancel) {
  const auto [tokens, rows, columns] = GetParam();
  int far_too_small = 0;
  // From where the errors of what is added decide to where those of the Gram matrices do.
  for (int round = 0; round < 20; ++round) {
    const at::Tensor g = at::randn({tokens / 2, rows}), a = at::randn({tokens / 2, columns});
    const double nearly = 1 + std::ldexp(1.0, round - 22);
    const at::Tensor left = at::cat({g, -g * nearly}), right = at::cat({a, a});
    const double exact = Norm(Exact(left, right));
    ASSERT_GT(exact, 0);
    for (const NormMethod method : kMethods) {
      const MatrixGradient gradient(left, right, method);
      EXPECT_GE(gradient.norm().upper(), exact);
      EXPECT_GE(gradient.norm().upper(), Norm(Added(gradient, rows, columns)));
    }
    if (Fp32GramNorm(left, right) < 0.5 * exact) ++far_too_small;
  }
  EXPECT_GT(far_too_small, 0) << "the case that an fp32 norm without a bound fails on";
}

INSTANTIATE_TEST_SUITE_P(Clipping, OfSize,
                         testing::Values(Size{2, 6, 40}, Size{24, 8, 96}, Size{128, 576, 576},
                                         Size{20, 3000, 64}),
                         [](const auto& info) {
                           return std::to_string(info.param.tokens) + "_" +
                                  std::to_string(info.param.rows) + "_" +
                                  std::to_string(info.param.columns);
                         });

TEST(MatrixGradient, SumsOfNumbersBelowTheNormalRangeAreBounded) {
  for (const std::int64_t rows : {4, 600}) {
    const at::Tensor left = at::full({8, rows}, 0x1p-80F), right = at::full({8, 600}, 0x1p-75F);
    for (const NormMethod method : kMethods) {
      const MatrixGradient gradient(left, right, method);
      EXPECT_GE(gradient.norm().upper(), Norm(Exact(left, right)));
    }
  }
}

TEST(MatrixGradient, NonFiniteFactorsGiveNoFiniteBound) {
  for (const std::int64_t rows : {4, 600}) {
    for (const float poison : {NAN, INFINITY, 1e38F}) {
      at::Tensor left = at::ones({8, rows});
      left[3][1] = poison;
      at::Tensor right = at::ones({8, 600});
      right[3][2] = poison;
      for (const NormMethod method : kMethods) {
        // 1e38² overflows fp32, where the larger of the two is worked on.
        const bool finite = poison == 1e38F && rows == 4;
        EXPECT_EQ(std::isfinite(MatrixGradient(left, right, method).norm().upper()), finite)
            << rows << " " << poison;
      }
    }
  }
}

// Two tokens of about 2^64 whose squares stay finite in fp32 where their product, negative, does
// not: minus infinity must not pass for a small norm.
TEST(MatrixGradient, AnInfiniteInnerProductOfEitherSignGivesNoFiniteBound) {
  for (const float sign : {1.0F, -1.0F}) {
    at::Tensor left = at::zeros({2, 512}), right = at::full({2, 4096}, 1 / 64.0F);
    const float s = std::sqrt(0.49F * 0x1p103F) * std::sqrt(2.0F);  // beside 2^64: below a half ulp
    left[0][0] = std::nextafter(0x1p64F, 0.0F);
    left[1][0] = sign * 0x1p64F * (1 - 2 * 0x1p-24F);
    for (int i = 1; i <= 3; ++i) {
      left[0][i] = s;
      left[1][i] = sign * 1.05F * s;
    }
    for (int j = 1; j < 4096; j += 2) right[1][j] = -1 / 64.0F;
    right[1][0] = 2 / 64.0F;
    // What the case is made of.
    const std::vector<double> gram = TokenGram(ViewOf(left));
    ASSERT_TRUE(std::isfinite(gram[0]) && std::isfinite(gram[3]));
    ASSERT_EQ(gram[2], static_cast<double>(sign) * INFINITY);
    EXPECT_FALSE(std::isfinite(MatrixGradient(left, right, NormMethod::kCheapest).norm().upper()));
  }
}

// A tied embedding and head: ‖E + H‖² = ‖E‖² + ‖H‖² + 2 <E, H>.
TEST(LookupGradient, CrossTermOfATiedMatrix) {
  at::manual_seed(19);
  std::printf("seed 19\n");
  for (const std::int64_t rows : {50, 5000}) {
    for (const double scale : {1.0, -1.0}) {
      const at::Tensor ids = at::randint(rows, {12}, at::kLong);
      const at::Tensor values = at::randn({12, 64});
      // The head's gradient undoes, or doubles, the embedding's.
      const at::Tensor left = at::one_hot(ids, rows).to(at::kFloat) * scale;
      const at::Tensor right = values + 1e-3 * at::randn({12, 64});
      const LookupGradient lookup(ids, values);
      for (const NormMethod method : kMethods) {
        const MatrixGradient matrix(left, right, method);
        NormBound both = lookup.norm();
        both += matrix.norm();
        both += lookup.Cross(matrix);
        const at::Tensor sum = Added(matrix, rows, 64);
        AddTo(sum, lookup);
        EXPECT_GE(both.upper(), Norm(sum));
        // What nearly cancels is bounded, and computed no better than fp32 allows.
        if (scale > 0) {
          EXPECT_NEAR(both.computed(), Norm(sum), 1e-4 * Norm(sum));
        }
        // Without the cross term it would be far off.
        NormBound apart = lookup.norm();
        apart += matrix.norm();
        EXPECT_GT(std::abs(apart.computed() - Norm(sum)), 0.2 * Norm(sum));
      }
    }
  }
}

// The norm of a large matrix is that of rounded numbers: where the lookup nearly undoes it, what
// rounding took from the norm is more than what is left of the sum.
TEST(LookupGradient, CrossTermCoversWhatRoundingTookFromTheOthersNorm) {
  constexpr std::int64_t kTokens = 12, kRows = 5000, kColumns = 64;
  // Beside the first row of ones the others vanish in fp32, all in one direction.
  at::Tensor values = at::full({kTokens, kColumns}, 0.9 * 0x1p-25).to(at::kFloat);
  values[0].fill_(1);
  const at::Tensor ids = at::full({kTokens}, 7, at::kLong);
  const at::Tensor left = -at::one_hot(ids, kRows).to(at::kFloat);
  for (const double more : {1e-4, 4e-4, 1e-3}) {
    const LookupGradient lookup(ids, values * (1 + more));
    const MatrixGradient matrix(left, values, NormMethod::kInstantiate);
    NormBound both = lookup.norm();
    both += matrix.norm();
    both += lookup.Cross(matrix);
    const at::Tensor sum = Added(matrix, kRows, kColumns);
    AddTo(sum, lookup);
    EXPECT_GE(both.upper(), Norm(sum)) << more;
    EXPECT_LT(both.upper(), 1) << more;
  }
}

}  // namespace
}  // namespace cloister::dp::clipping
