#include "dp/accounting/fourier.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <random>

namespace cloister::dp {
namespace {

TEST(Fourier, SizesAreEvenAndSmooth) {
  EXPECT_EQ(FourierSize(0), 16u);
  EXPECT_EQ(FourierSize(17), 18u);
  EXPECT_EQ(FourierSize(1025), 1080u);
  for (std::size_t size = 1; size < 5000; size += 37) {
    std::size_t rest = FourierSize(size);
    EXPECT_GE(rest, size);
    EXPECT_LT(static_cast<double>(rest), 1.3 * static_cast<double>(size) + 16);
    for (const std::size_t prime : {2, 3, 5}) {
      while (rest % prime == 0) rest /= prime;
    }
    EXPECT_EQ(rest, 1u);
  }
}

TEST(Fourier, IsTheDefinitionWithinItsErrorBound) {
  std::mt19937_64 random(1);
  for (const std::size_t size : {16, 18, 30, 250, 1080}) {
    std::vector<double> values(size);
    for (double& value : values) value = std::exponential_distribution()(random);
    const Fourier fourier(size);
    const auto terms = fourier.Transform(values);
    ASSERT_EQ(terms.size(), size / 2 + 1);
    long double errors = 0;
    long double squares = 0;
    for (std::size_t k = 0; k < terms.size(); ++k) {
      std::complex<long double> exact = 0;
      for (std::size_t i = 0; i < size; ++i) {
        const long double angle = -2 * std::numbers::pi_v<long double> *
                                  static_cast<long double>(i * k % size) /
                                  static_cast<long double>(size);
        exact += static_cast<long double>(values[i]) *
                 std::complex<long double>(std::cos(angle), std::sin(angle));
      }
      errors += std::norm(exact - std::complex<long double>(terms[k]));
      squares += std::norm(exact);
    }
    EXPECT_LT(std::sqrt(errors / squares), TransformError(size)) << size;
    const std::vector<double> back = fourier.Inverse(terms);
    ASSERT_EQ(back.size(), size);
    for (std::size_t i = 0; i < size; ++i) EXPECT_NEAR(back[i], values[i], 1e-13) << size;
  }
}

}  // namespace
}  // namespace cloister::dp
