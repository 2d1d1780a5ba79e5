// Attention by tiles against the plain formula in fp64, on each instruction set of this processor.
#include "trainer/networks/tiled_attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <bit>
#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

namespace cloister::trainer {
namespace {

using dp::clipping::RowTileKernel;
using dp::clipping::RowTileKernelOf;
using dp::clipping::SupportedTileTiers;
using dp::clipping::TileTier;

constexpr const char* kNames[] = {"scalar", "avx2", "avx512"};

// Each tile kernel, with the best score kernels of the processor.
class AttentionOnTier : public testing::TestWithParam<TileTier> {
 protected:
  void SetUp() override {
    at::manual_seed(37);
    std::printf("seed 37\n");
  }
  AttentionKernels kernels() const { return {tiles_, BestScoreKernels()}; }

 private:
  const RowTileKernel tiles_ = RowTileKernelOf(GetParam());
};

struct Inputs {
  at::Tensor q, k, v, g;
};

// As projections leave them: [batch, tokens, heads, size], transposed.
Inputs RandomInputs(std::int64_t batch, std::int64_t heads, std::int64_t kv_heads,
                    std::int64_t tokens, std::int64_t size, std::int64_t value_size) {
  const auto random = [&](std::int64_t count, std::int64_t width) {
    return at::randn({batch, tokens, count, width}).transpose(1, 2);
  };
  return {random(heads, size), random(kv_heads, size), random(kv_heads, value_size),
          random(heads, value_size)};
}

at::Tensor Plain(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale) {
  const std::int64_t times = q.size(1) / k.size(1), tokens = q.size(2);
  const auto repeat = [&](const at::Tensor& x) { return x.repeat_interleave(times, 1); };
  const at::Tensor hidden = at::ones({tokens, tokens}, at::kBool).triu(1);
  const at::Tensor scores = (at::matmul(q, repeat(k).transpose(2, 3)) * scale)
                                .masked_fill(hidden, -std::numeric_limits<double>::infinity());
  return at::matmul(at::softmax(scores, -1), repeat(v));
}

void ExpectNear(const at::Tensor& got, const at::Tensor& expected, double tolerance) {
  ASSERT_EQ(got.sizes(), expected.sizes());
  EXPECT_LT((got.to(at::kDouble) - expected).abs().max().item<double>(),
            tolerance * (1 + expected.abs().max().item<double>()));
}

// Output and gradients against autograd's of the plain formula in fp64.
void ExpectPlain(const Inputs& in, double scale, const AttentionKernels& kernels,
                 double tolerance) {
  const auto wide = [](const at::Tensor& x) { return x.to(at::kDouble).requires_grad_(); };
  const at::Tensor q = wide(in.q), k = wide(in.k), v = wide(in.v);
  const at::Tensor y = Plain(q, k, v, scale);
  const auto exact = torch::autograd::grad({y}, {q, k, v}, {in.g.to(at::kDouble)});
  const AttentionOutput output = AttendForward(in.q, in.k, in.v, scale, kernels);
  const AttentionGradients got = AttendBackward(in.g, in.q, in.k, in.v, output, scale, kernels);
  ExpectNear(output.y, y.detach(), tolerance);
  ExpectNear(got.q, exact[0], tolerance);
  ExpectNear(got.k, exact[1], tolerance);
  ExpectNear(got.v, exact[2], tolerance);
}

TEST_P(AttentionOnTier, OutputAndGradientsAreThePlainOnes) {
  const std::vector<std::vector<std::int64_t>> shapes = {
      {1, 1, 1, 1, 8, 8},    {2, 4, 2, 5, 8, 8},  {1, 3, 1, 64, 16, 16},  {1, 9, 3, 127, 64, 64},
      {2, 2, 2, 70, 24, 40}, {1, 2, 1, 25, 7, 5}, {1, 4, 4, 130, 96, 64}, {3, 2, 1, 24, 80, 80},
  };
  for (const auto& s : shapes) {
    const Inputs in = RandomInputs(s[0], s[1], s[2], s[3], s[4], s[5]);
    const double scale = 1.3 / std::sqrt(static_cast<double>(s[4]));
    SCOPED_TRACE(testing::PrintToString(s));
    ExpectPlain(in, scale, kernels(), 3e-6);
  }
}

TEST_P(AttentionOnTier, TokenIsTheSameBitsWhateverFollowsIt) {
  const Inputs in = RandomInputs(1, 4, 2, 90, 32, 32);
  const at::Tensor whole = AttendForward(in.q, in.k, in.v, 0.2, kernels()).y;
  for (const std::int64_t tokens : {1, 5, 24, 64, 65, 89}) {
    const auto first = [&](const at::Tensor& x) { return x.narrow(2, 0, tokens); };
    const at::Tensor part = AttendForward(first(in.q), first(in.k), first(in.v), 0.2, kernels()).y;
    EXPECT_TRUE(at::equal(part, first(whole))) << tokens;
  }
}

TEST_P(AttentionOnTier, ThreadsShareTheWorkWithoutChangingABit) {
  const int threads = at::get_num_threads();
  // More keys than threads, fewer, and one for all heads.
  const std::vector<std::vector<std::int64_t>> shapes = {{3, 4, 2}, {1, 9, 3}, {1, 5, 1}};
  for (const auto& s : shapes) {
    SCOPED_TRACE(testing::PrintToString(s));
    const Inputs in = RandomInputs(s[0], s[1], s[2], 140, 64, 48);
    std::vector<at::Tensor> all;
    for (const int count : {1, 3, 4}) {
      at::set_num_threads(count);
      const AttentionOutput output = AttendForward(in.q, in.k, in.v, 0.1, kernels());
      const AttentionGradients gradients =
          AttendBackward(in.g, in.q, in.k, in.v, output, 0.1, kernels());
      for (const at::Tensor& x : {output.y, gradients.q, gradients.k, gradients.v}) {
        all.push_back(x);
      }
    }
    for (std::size_t i = 4; i < all.size(); ++i) EXPECT_TRUE(at::equal(all[i], all[i % 4])) << i;
  }
  at::set_num_threads(threads);
}

TEST_P(AttentionOnTier, HoldsOverThousandsOfTokens) {
  ExpectPlain(RandomInputs(1, 2, 1, 2100, 16, 16), 0.25, kernels(), 3e-6);
}

// Scores of hundreds, as networks have them whose training goes wrong.
TEST_P(AttentionOnTier, LargeScoresNeitherOverflowNorLoseTheGradient) {
  Inputs in = RandomInputs(1, 2, 1, 40, 16, 16);
  in.q = in.q * 100;
  ExpectPlain(in, 1, kernels(), 2e-4);
}

TEST_P(AttentionOnTier, WhatIsNotFiniteShowsInItsOwnRowsAlone) {
  const Inputs in = RandomInputs(1, 1, 1, 100, 16, 16);
  const at::Tensor before = AttendForward(in.q, in.k, in.v, 0.25, kernels()).y;
  at::Tensor q = in.q.clone();
  // One whose every bit is set.
  q[0][0][40][3] = std::bit_cast<float>(0xffffffffU);
  const at::Tensor after = AttendForward(q, in.k, in.v, 0.25, kernels()).y;
  EXPECT_TRUE(after[0][0][40].isnan().all().item<bool>());
  EXPECT_TRUE(at::equal(after.narrow(2, 0, 40), before.narrow(2, 0, 40)));
  EXPECT_TRUE(at::equal(after.narrow(2, 41, 59), before.narrow(2, 41, 59)));
}

INSTANTIATE_TEST_SUITE_P(Tiers, AttentionOnTier, testing::ValuesIn(SupportedTileTiers()),
                         [](const auto& tier) { return kNames[static_cast<int>(tier.param)]; });

// As a network calls it: each gradient goes to its own input, however the gradient of the output
// lies in memory.
TEST(TiledAttention, AutogradGetsThePlainGradients) {
  at::manual_seed(43);
  std::printf("seed 43\n");
  const Inputs in = RandomInputs(2, 4, 2, 33, 16, 16);
  const std::vector<at::Tensor> gradients = {
      in.g, in.g.contiguous(), at::ones({1, 1, 1, 1}).expand(in.g.sizes()),
      at::randn({2, 4, 16, 33}).transpose(2, 3), at::randn({1, 4, 1, 16}).expand(in.g.sizes())};
  for (const at::Tensor& g : gradients) {
    SCOPED_TRACE(testing::PrintToString(g.strides()));
    std::vector<at::Tensor> narrow, wide;
    for (const at::Tensor& x : {in.q, in.k, in.v}) {
      narrow.push_back(x.detach().requires_grad_());
      wide.push_back(x.to(at::kDouble).requires_grad_());
    }
    const at::Tensor y = TiledAttention(narrow[0], narrow[1], narrow[2], 0.3);
    const at::Tensor exact = Plain(wide[0], wide[1], wide[2], 0.3);
    ExpectNear(y.detach(), exact.detach(), 3e-6);
    const auto got = torch::autograd::grad({y}, narrow, {g});
    const auto expected = torch::autograd::grad({exact}, wide, {g.to(at::kDouble)});
    for (std::size_t i = 0; i < 3; ++i) ExpectNear(got[i], expected[i], 3e-6);
  }
}

TEST(TiledAttention, RefusesASecondDerivative) {
  const Inputs in = RandomInputs(1, 1, 1, 5, 8, 8);
  const at::Tensor q = in.q.detach().requires_grad_();
  const at::Tensor y = TiledAttention(q, in.k, in.v, 1);
  EXPECT_THROW(torch::autograd::grad({y.sum()}, {q}, {}, /*retain_graph=*/true,
                                     /*create_graph=*/true),
               c10::Error);
}

TEST(TiledAttention, TakesWhatItsKernelsCanRead) {
  if (SupportedTileTiers().size() == 1) GTEST_SKIP() << "no vector instructions here";
  const Inputs in = RandomInputs(1, 4, 2, 9, 8, 8);
  EXPECT_TRUE(TakesTiledAttention(in.q, in.k, in.v));
  EXPECT_TRUE(TakesTiledAttention(in.q.contiguous(), in.k, in.v));
  const auto bf16 = [](const at::Tensor& x) { return x.to(at::kBFloat16); };
  EXPECT_FALSE(TakesTiledAttention(bf16(in.q), bf16(in.k), bf16(in.v)));
  EXPECT_FALSE(TakesTiledAttention(in.q, in.k, in.v.to(at::kDouble)));
  const at::Tensor across = in.k.transpose(2, 3).contiguous().transpose(2, 3);
  EXPECT_FALSE(TakesTiledAttention(in.q, across, in.v));
  // One query against what was kept of the tokens before it.
  EXPECT_FALSE(TakesTiledAttention(in.q.narrow(2, 8, 1), in.k, in.v));
  EXPECT_FALSE(TakesTiledAttention(in.q.narrow(2, 0, 0), in.k.narrow(2, 0, 0), in.v));
}

// The tiers of the score kernels against each other.
TEST(ScoreKernels, GiveTheSameBitsOnEveryTier) {
  at::manual_seed(41);
  std::printf("seed 41\n");
  constexpr std::int64_t kRows = 9, kStride = 64, kWidth = 45;
  const at::Tensor scores = at::randn({kRows, kStride}) * 5, changes = at::randn({kRows, kStride});
  std::vector<at::Tensor> all;
  for (const RowTier tier : SupportedRowTiers()) {
    const ScoreKernels kernels = ScoreKernelsOf(tier);
    const at::Tensor p = scores.clone(), again = scores.clone(), d = changes.clone();
    const at::Tensor statistics = at::empty({kRows, 2}), inner = at::empty({kRows});
    kernels.softmax(p.mutable_data_ptr<float>(), kStride, kRows, kWidth - kRows + 1, kWidth, 0.7F,
                    statistics.mutable_data_ptr<float>());
    kernels.inner_products(changes.const_data_ptr<float>(), kStride, p.const_data_ptr<float>(),
                           kStride, kRows, kWidth, inner.mutable_data_ptr<float>());
    kernels.softmax_backward(again.mutable_data_ptr<float>(), d.mutable_data_ptr<float>(), kStride,
                             kRows, kWidth - kRows + 1, kWidth, 0.7F,
                             statistics.const_data_ptr<float>(), inner.const_data_ptr<float>());
    const at::Tensor sums = p.narrow(1, 0, kWidth).sum(1);
    EXPECT_LT((sums - 1).abs().max().item<float>(), 1e-6F);
    EXPECT_TRUE(at::allclose(again.narrow(1, 0, kWidth), p.narrow(1, 0, kWidth), 1e-6, 1e-9));
    // What a row does not see is zero.
    EXPECT_EQ(p[0].narrow(0, kWidth - kRows + 1, kRows - 1).abs().sum().item<float>(), 0);
    EXPECT_EQ(d[0].narrow(0, kWidth - kRows + 1, kRows - 1).abs().sum().item<float>(), 0);
    for (const at::Tensor& x :
         {p.narrow(1, 0, kWidth), d.narrow(1, 0, kWidth), statistics, inner}) {
      all.push_back(x);
    }
  }
  for (std::size_t i = 4; i < all.size(); ++i) EXPECT_TRUE(at::equal(all[i], all[i % 4])) << i;
}

}  // namespace
}  // namespace cloister::trainer
