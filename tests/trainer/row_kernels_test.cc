// The fused operators against the plain ones of LibTorch in fp64, on every tier of this processor.
#include "trainer/networks/row_kernels.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <bit>
#include <cmath>
#include <limits>

#include "trainer/networks/operators.h"
#include "trainer/networks/row_tensors.h"

namespace cloister::trainer {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
// Every bit set, and the smallest that signals: as garbage has them, unlike what arithmetic makes.
constexpr float kNanOfOnes = std::bit_cast<float>(0xffffffffU);
constexpr float kSignallingNan = std::bit_cast<float>(0x7f800001U);
constexpr double kEpsilon = 1e-5;
// With and without a rest beyond the lanes, and shorter than they are.
constexpr std::int64_t kSizes[] = {1, 5, 16, 31, 32, 48, 576, 1031};

class RowKernel : public testing::TestWithParam<at::ScalarType> {
 protected:
  void SetUp() override {
    std::printf("seed 11\n");
    at::manual_seed(11);
  }
  static at::Tensor Random(std::vector<std::int64_t> shape, double scale = 1) {
    return (at::randn(shape) * scale).to(GetParam());
  }
  // The relative error that storing a result may make, and a few roundings within.
  static double tolerance() { return GetParam() == at::kFloat ? 2e-6 : 0x1p-8; }
  static void ExpectNear(const at::Tensor& got, const at::Tensor& expected, double scale = 1) {
    const at::Tensor off = (got.to(at::kDouble) - expected).abs();
    const at::Tensor allowed = (expected.abs() + scale) * tolerance();
    EXPECT_TRUE(at::all(off <= allowed).item<bool>()) << (off / allowed).max();
  }
};

at::Tensor Wide(const at::Tensor& x) { return x.to(at::kDouble); }

TEST_P(RowKernel, RmsNormAndItsGradientAreThePlainOnes) {
  for (const std::int64_t size : kSizes) {
    const at::Tensor x = at::randn({7, size}) * 3, weight = at::randn({size});
    const at::Tensor g = Random({7, size});
    const at::Tensor wide = Wide(x).requires_grad_();
    const at::Tensor y =
        wide * (wide.square().mean(-1, /*keepdim=*/true) + kEpsilon).rsqrt() * Wide(weight);
    const NormalizedRows got = NormalizeRows(x, weight, kEpsilon, GetParam());
    EXPECT_EQ(got.y.scalar_type(), GetParam());
    ExpectNear(got.y, y.detach());
    const at::Tensor gradient = torch::autograd::grad({y}, {wide}, {Wide(g)})[0];
    const at::Tensor back = RmsNormInputGradient(g, x, weight, got.inverse);
    EXPECT_LT((Wide(back) - gradient).abs().max().item<double>(),
              4e-6 * (gradient.abs().max().item<double>() + 1));
  }
}

TEST_P(RowKernel, SwiGluAndItsGradientAreThePlainOnes) {
  for (const std::int64_t size : kSizes) {
    const at::Tensor gate_up = Random({7, 2 * size}, 4), g = Random({7, size});
    const at::Tensor wide = Wide(gate_up).requires_grad_();
    const auto halves = wide.chunk(2, -1);
    const at::Tensor y = at::silu(halves[0]) * halves[1];
    const at::Tensor leaf = gate_up.detach().requires_grad_();
    const at::Tensor got = SwiGlu(leaf);
    ExpectNear(got.detach(), y.detach());
    ExpectNear(torch::autograd::grad({got}, {leaf}, {g})[0],
               torch::autograd::grad({y}, {wide}, {Wide(g)})[0]);
    // Another order of the halves would be seen.
    const at::Tensor swapped = at::silu(halves[1]) * halves[0];
    EXPECT_GT((Wide(got.detach()) - swapped.detach()).abs().max().item<double>(), 1e-2);
  }
}

TEST_P(RowKernel, CrossEntropyAndItsGradientAreThePlainOnes) {
  for (const std::int64_t size : kSizes) {
    const at::Tensor scores = Random({7, size}, 6), targets = at::arange(7).remainder(size);
    const at::Tensor expected = -at::log_softmax(Wide(scores), -1);
    at::Tensor gradient = at::softmax(Wide(scores), -1);
    gradient.scatter_add_(1, targets.unsqueeze(1), -at::ones({7, 1}, at::kDouble));
    at::Tensor worked = scores.clone();
    const at::Tensor losses = CrossEntropy(worked, targets, /*differentiate=*/false);
    EXPECT_TRUE(at::equal(worked, scores));
    const at::Tensor wanted = expected.gather(1, targets.unsqueeze(1)).squeeze(1);
    EXPECT_LT((Wide(losses) - wanted).abs().max().item<double>(),
              2e-6 * (wanted.abs().max().item<double>() + 1));
    EXPECT_TRUE(at::equal(CrossEntropy(worked, targets, /*differentiate=*/true), losses));
    ExpectNear(worked, gradient, 0.1);
  }
}

// Far from one another, as scores of a sure network are.
TEST_P(RowKernel, CrossEntropyHoldsAtTheEnds) {
  at::Tensor scores = at::full({2, 40}, -3e4).to(GetParam());
  scores[0][3] = scores[1][39] = 3e4;
  const at::Tensor losses =
      CrossEntropy(scores.clone(), at::tensor(std::vector<std::int64_t>{3, 3}), false);
  EXPECT_EQ(losses[0].item<float>(), 0);
  EXPECT_NEAR(losses[1].item<float>(), 6e4, 500);
}

// What a loss or a gradient is made of must stay visibly not finite: its unit is left out by it.
TEST_P(RowKernel, WhatIsNotFiniteStaysSo) {
  for (const float poison : {kNan, kNanOfOnes, kInfinity, -kInfinity}) {
    for (const std::int64_t place : {0, 20, 36}) {
      at::Tensor x = at::randn({1, 37});
      x[0][place] = poison;
      const NormalizedRows normalized = NormalizeRows(x, at::ones({37}), kEpsilon, GetParam());
      EXPECT_FALSE(at::isfinite(normalized.y[0][place]).item<bool>());
      at::Tensor gate_up = Random({1, 74});
      gate_up[0][place] = poison;
      EXPECT_FALSE(at::isfinite(SwiGlu(gate_up)[0][place]).item<bool>());
      at::Tensor scores = Random({1, 37});
      scores[0][place] = poison;
      if (poison < 0) continue;  // a probability of zero
      const at::Tensor loss = CrossEntropy(scores, at::zeros({1}, at::kLong), true);
      EXPECT_FALSE(at::isfinite(loss).item<bool>());
      EXPECT_FALSE(at::isfinite(scores.to(at::kFloat).sum()).item<bool>());
    }
  }
}

// On each tier, in a vector of its lanes and in the rest beyond them.
template <typename T>
void ExpectNanStays(RowTier tier, at::ScalarType type, float nan) {
  const RowKernels<T> kernels = KernelsOf<T>(tier);
  constexpr std::int64_t kSize = 37;
  // Stored as it is: a number that passes through a double is quiet.
  const at::Tensor bits = at::empty({1});
  *bits.mutable_data_ptr<float>() = nan;
  const at::Tensor poison = bits.to(type);
  const auto is_nan = [](const at::Tensor& x) { return x.isnan().all().item<bool>(); };
  for (const std::int64_t place : {0, 17, 36}) {
    for (const std::int64_t half : {0, 1}) {
      const at::Tensor g = at::randn({1, kSize}).to(type);
      const at::Tensor gate_up = at::randn({1, 2 * kSize}).to(type);
      gate_up.narrow(1, half * kSize + place, 1).copy_(poison);
      at::Tensor y = at::empty_like(g), back = at::empty_like(gate_up);
      kernels.swiglu(Read<T>(gate_up), 1, kSize, Write<T>(y));
      kernels.swiglu_backward(Read<T>(g), Read<T>(gate_up), 1, kSize, Write<T>(back));
      EXPECT_TRUE(is_nan(y[0][place])) << place << " " << half;
      // Of the other half at least: the gradient of what is linear does not depend on it.
      EXPECT_TRUE(is_nan(back[0][(1 - half) * kSize + place])) << place << " " << half;
      EXPECT_EQ(y.isnan().sum().item<std::int64_t>(), 1);
    }
    at::Tensor scores = at::randn({1, kSize}).to(type), loss = at::empty({1});
    scores.narrow(1, place, 1).copy_(poison);
    const at::Tensor target = at::full({1}, 5, at::kLong);
    for (const bool differentiate : {false, true}) {
      kernels.cross_entropy(Write<T>(scores), Read<std::int64_t>(target), 1, kSize, differentiate,
                            Write<float>(loss));
      EXPECT_TRUE(is_nan(loss)) << place;
    }
    EXPECT_TRUE(is_nan(scores)) << place;
  }
}

TEST_P(RowKernel, EveryKindOfNanStaysOneOnEveryTier) {
  for (const RowTier tier : SupportedRowTiers()) {
    for (const float nan : {kNan, -kNan, kNanOfOnes, kSignallingNan}) {
      SCOPED_TRACE(testing::Message()
                   << static_cast<int>(tier) << " " << std::bit_cast<std::uint32_t>(nan));
      GetParam() == at::kFloat ? ExpectNanStays<float>(tier, at::kFloat, nan)
                               : ExpectNanStays<Bf16>(tier, at::kBFloat16, nan);
    }
  }
}

TEST_P(RowKernel, ARowIsTheSameWhoeverStandsBesideIt) {
  const at::Tensor x = at::randn({300, 200}), weight = at::randn({200});
  const at::Tensor gate_up = Random({300, 200}), scores = Random({300, 200});
  const at::Tensor targets = at::arange(300).remainder(200);
  const at::Tensor all_scores = scores.clone();
  const at::Tensor losses = CrossEntropy(all_scores, targets, true);
  const at::Tensor normalized = NormalizeRows(x, weight, kEpsilon, GetParam()).y;
  const at::Tensor active = SwiGlu(gate_up);
  for (const std::int64_t row : {0, 17, 299}) {
    const at::Tensor one = scores.narrow(0, row, 1).clone();
    EXPECT_TRUE(at::equal(CrossEntropy(one, targets.narrow(0, row, 1), true)[0], losses[row]));
    EXPECT_TRUE(at::equal(one[0], all_scores[row]));
    EXPECT_TRUE(
        at::equal(NormalizeRows(x.narrow(0, row, 1).clone(), weight, kEpsilon, GetParam()).y[0],
                  normalized[row]));
    EXPECT_TRUE(at::equal(SwiGlu(gate_up.narrow(0, row, 1))[0], active[row]));
  }
}

// Everything that one tier computes of random numbers, in one tensor.
template <typename T>
at::Tensor Everything(RowTier tier, at::ScalarType type) {
  const RowKernels<T> kernels = KernelsOf<T>(tier);
  at::manual_seed(12);
  std::vector<at::Tensor> results;
  for (const std::int64_t size : {5, 64, 199}) {
    const at::Tensor x = at::randn({3, size}) * 4, weight = at::randn({size});
    const at::Tensor g = at::randn({3, size}).to(type),
                     gate_up = (at::randn({3, 2 * size}) * 9).to(type);
    at::Tensor y = at::empty_like(g), wide = at::empty_like(gate_up), gradient = at::empty_like(x);
    at::Tensor inverse = at::empty({3}), losses = at::empty({3});
    const at::Tensor targets = at::arange(3), angles = at::randn({size / 2});
    const at::Tensor cosine = angles.cos(), sine = angles.sin();
    const auto keep = [&](const at::Tensor& t) { results.push_back(t.to(at::kFloat).flatten()); };
    kernels.rms_norm(Read<float>(x), Read<float>(weight), 1e-5F, 3, size, Write<T>(y),
                     Write<float>(inverse));
    keep(y);
    keep(inverse);
    kernels.rms_norm_backward(Read<T>(g), Read<float>(x), Read<float>(weight), Read<float>(inverse),
                              3, size, Write<float>(gradient));
    keep(gradient);
    kernels.swiglu(Read<T>(gate_up), 3, size, Write<T>(y));
    keep(y);
    kernels.swiglu_backward(Read<T>(g), Read<T>(gate_up), 3, size, Write<T>(wide));
    keep(wide);
    for (const bool neighbours : {false, true}) {
      for (const bool back : {false, true}) {
        kernels.rotate(Read<T>(g), size, Read<float>(cosine), Read<float>(sine), 3, size, size / 2,
                       neighbours, back, Write<T>(y));
        keep(y);
      }
    }
    at::Tensor scores = g.clone();
    kernels.cross_entropy(Write<T>(scores), Read<std::int64_t>(targets), 3, size, true,
                          Write<float>(losses));
    keep(scores);
    keep(losses);
  }
  return at::cat(results);
}

TEST_P(RowKernel, TiersGiveTheSameBits) {
  const auto of = [](RowTier tier) {
    return GetParam() == at::kFloat ? Everything<float>(tier, at::kFloat)
                                    : Everything<Bf16>(tier, at::kBFloat16);
  };
  const at::Tensor scalar = of(RowTier::kScalar);
  EXPECT_TRUE(at::isfinite(scalar).all().item<bool>());
  for (const RowTier tier : SupportedRowTiers()) {
    EXPECT_TRUE(at::equal(of(tier), scalar)) << static_cast<int>(tier);
  }
}

INSTANTIATE_TEST_SUITE_P(Types, RowKernel, testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& info) {
                           return info.param == at::kFloat ? "fp32" : "bf16";
                         });

// Autograd cannot follow what they compute of a gradient.
TEST(RowKernels, RefuseASecondDerivative) {
  const at::Tensor x = at::ones({2, 8}).requires_grad_(), weight = at::ones({8});
  for (const at::Tensor& y : {SwiGlu(x), RmsNorm(x, weight, kEpsilon)}) {
    EXPECT_THROW(torch::autograd::grad({y.sum()}, {x}, {}, /*retain_graph=*/true,
                                       /*create_graph=*/true),
                 c10::Error);
  }
}

// Stored as LibTorch rounds: to nearest, ties to even.
TEST(RowKernels, RoundToBf16AsLibTorchDoes) {
  const std::vector<float> values = {0.0F,           -0.0F,
                                     1.0F,           1.00390625F,
                                     1.01171875F,    1.0039063F,
                                     3.4e38F,        -3.4e38F,
                                     1e-40F,         kInfinity,
                                     -kInfinity,     kNan,
                                     kSignallingNan, std::bit_cast<float>(0x7fffffffU)};
  for (const RowTier tier : SupportedRowTiers()) {
    for (const float value : values) {
      // A row of one number is 1 over its own size; times the weight it is the weight.
      const float one[1] = {1.0F}, weight[1] = {value};
      Bf16 y[1];
      float inverse[1];
      KernelsOf<Bf16>(tier).rms_norm(one, weight, 0.0F, 1, 1, y, inverse);
      ASSERT_EQ(inverse[0], 1.0F);
      const at::BFloat16 expected(value);
      if (std::isnan(value)) {
        const at::BFloat16 got(y[0].bits, at::BFloat16::from_bits());
        EXPECT_TRUE(std::isnan(static_cast<float>(got)));
      } else {
        EXPECT_EQ(y[0].bits, expected.x) << value;
      }
    }
  }
}

}  // namespace
}  // namespace cloister::trainer
