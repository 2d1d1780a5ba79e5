#include <gtest/gtest.h>

#include <cmath>

#include "tests/clipping/network_case.h"

namespace cloister::dp::clipping {
namespace {

BookKeeping Engine(std::vector<PathShape> shapes, std::int64_t parameters, double clip_norm,
                   NormMethod method = NormMethod::kCheapest) {
  return BookKeeping::Create(std::move(shapes), parameters,
                             {.clip_norm = clip_norm,
                              .unit = PrivacyUnit::kRecord,
                              .neighbours = Neighbours::kAddOrRemoveOne,
                              .method = method})
      .value();
}

std::vector<std::size_t> AllOf(const NetworkCase& one) {
  std::vector<std::size_t> all(one.examples());
  std::iota(all.begin(), all.end(), std::size_t{0});
  return all;
}

at::Tensor Values(const ClippedSum& sum) {
  return at::tensor(sum.values(), at::TensorOptions(at::kDouble));
}

double Norm(const at::Tensor& x) { return at::linalg_vector_norm(x).item<double>(); }

// The sum that the definition of DP-SGD asks for: each example alone, clipped, added.
at::Tensor NaiveSum(const NetworkCase& one, double clip_norm) {
  at::Tensor sum = at::zeros({one.parameters()}, at::TensorOptions(at::kDouble));
  for (std::size_t i = 0; i < one.examples(); ++i) {
    const at::Tensor gradient = one.Gradient(i);
    sum += gradient * std::min(1.0, clip_norm / Norm(gradient));
  }
  return sum;
}

// A clip norm that some examples pass and some do not.
double MiddleNorm(const NetworkCase& one) {
  std::vector<double> norms;
  for (std::size_t i = 0; i < one.examples(); ++i) norms.push_back(Norm(one.Gradient(i)));
  std::sort(norms.begin(), norms.end());
  return (norms[norms.size() / 2 - 1] + norms[norms.size() / 2]) / 2;
}

at::Tensor EngineSum(const NetworkCase& one, double clip_norm, std::size_t micro_batch,
                     NormMethod method = NormMethod::kCheapest) {
  BookKeeping engine = Engine(one.shapes(), one.parameters(), clip_norm, method);
  const std::vector<std::size_t> all = AllOf(one);
  for (std::size_t start = 0; start < all.size(); start += micro_batch) {
    const std::size_t size = std::min(micro_batch, all.size() - start);
    one.Run(std::span(all).subspan(start, size), engine);
    EXPECT_TRUE(engine.EndMicroBatch());
  }
  return Values(std::move(engine).Finish());
}

double RelativeError(const at::Tensor& a, const at::Tensor& b) { return Norm(a - b) / Norm(b); }

// Broken on purpose: clips by the norm of the first path's gradient alone.
class OnePathNorm : public PathObserver {
 public:
  void Observe(std::int64_t path, PathTensors tensors) override {
    if (path == 0) {
      squared_ = ExampleGradients(tensors.u, tensors.x, NormMethod::kInstantiate).squared_norms() +
                 ExampleGradients(tensors.g, tensors.h, NormMethod::kInstantiate).squared_norms();
    }
    seen_.emplace_back(path, std::move(tensors));
  }
  at::Tensor Sum(const NetworkCase& one, double clip_norm) const {
    at::Tensor sum = at::zeros({one.parameters()}, at::TensorOptions(at::kDouble));
    const at::Tensor factors = (clip_norm / squared_.sqrt()).clamp_max(1.0);
    for (const auto& [path, t] : seen_) {
      const PathShape& shape = one.shapes()[static_cast<std::size_t>(path)];
      ExampleGradients(t.u, t.x, NormMethod::kInstantiate)
          .AddClipped(factors, sum.narrow(0, shape.a_offset, shape.rank * shape.in));
      ExampleGradients(t.g, t.h, NormMethod::kInstantiate)
          .AddClipped(factors, sum.narrow(0, shape.b_offset, shape.rank * shape.out));
    }
    return sum;
  }

 private:
  at::Tensor squared_;
  std::vector<std::pair<std::int64_t, PathTensors>> seen_;
};

struct Setting {
  std::string fixture;
  std::int64_t rank;
  std::int64_t first_layer;
};

class OnFixtures : public testing::TestWithParam<Setting> {
 protected:
  NetworkCase Case() const { return {GetParam().fixture, GetParam().rank, GetParam().first_layer}; }
};

TEST_P(OnFixtures, NormsEqualThoseOfAPerExampleLoop) {
  const NetworkCase one = Case();
  for (const NormMethod method :
       {NormMethod::kCheapest, NormMethod::kInstantiate, NormMethod::kGram}) {
    BookKeeping engine = Engine(one.shapes(), one.parameters(), 1.0, method);
    one.Run(AllOf(one), engine);
    const auto norms = engine.EndMicroBatch();
    ASSERT_TRUE(norms);
    ASSERT_EQ(norms->computed.size(), one.examples());
    for (std::size_t i = 0; i < one.examples(); ++i) {
      const double expected = Norm(one.Gradient(i));
      EXPECT_NEAR(norms->computed[i], expected, 1e-3 * expected);
      EXPECT_GE(norms->bound[i], norms->computed[i]);
      EXPECT_LE(norms->bound[i], 1.001 * norms->computed[i]);
    }
  }
}

TEST_P(OnFixtures, ClippedSumEqualsTheNaiveLoops) {
  const NetworkCase one = Case();
  const double clip_norm = MiddleNorm(one);
  const at::Tensor naive = NaiveSum(one, clip_norm);
  for (const NormMethod method :
       {NormMethod::kCheapest, NormMethod::kInstantiate, NormMethod::kGram}) {
    EXPECT_LT(RelativeError(EngineSum(one, clip_norm, one.examples(), method), naive), 1e-5);
  }
  // The comparison would catch an engine that does not clip, or clips by a part of the norm.
  EXPECT_GT(RelativeError(EngineSum(one, 1e9, one.examples()), naive), 1e-2);
  OnePathNorm broken;
  one.Run(AllOf(one), broken);
  EXPECT_GT(RelativeError(broken.Sum(one, clip_norm), naive), 1e-2);
}

TEST_P(OnFixtures, SplittingIntoMicroBatchesChangesNothingBeyondRounding) {
  const NetworkCase one = Case();
  const double clip_norm = MiddleNorm(one);
  const at::Tensor whole = EngineSum(one, clip_norm, one.examples());
  for (const std::size_t size : {1, 2, 3}) {
    EXPECT_LT(RelativeError(EngineSum(one, clip_norm, size), whole), 4e-6) << size;
  }
}

TEST_P(OnFixtures, OneExampleMovesTheSumByTheClipNormAtMost) {
  const NetworkCase one = Case();
  const double clip_norm = MiddleNorm(one) / 10;  // every example is clipped
  for (std::size_t i = 0; i < one.examples(); ++i) {
    BookKeeping engine = Engine(one.shapes(), one.parameters(), clip_norm);
    const std::vector<std::size_t> only = {i};
    one.Run(only, engine);
    ASSERT_TRUE(engine.EndMicroBatch());
    const ClippedSum sum = std::move(engine).Finish();
    EXPECT_LE(Norm(Values(sum)), clip_norm + sum.summation_error());
    EXPECT_GT(Norm(Values(sum)), 0.999 * clip_norm);
    EXPECT_LT(sum.summation_error(), 1e-3 * clip_norm);
  }
}

INSTANTIATE_TEST_SUITE_P(Clipping, OnFixtures,
                         testing::Values(Setting{"llama", 3, 0}, Setting{"llama", 1, 1},
                                         Setting{"llama-tied-rope3", 8, 0},
                                         // Latent attention and experts, with query latents and
                                         // without.
                                         Setting{"deepseek-v2", 2, 0}, Setting{"deepseek-v3", 2, 1},
                                         Setting{"deepseek-v3-biases", 4, 0},
                                         Setting{"qwen3", 2, 0}),
                         [](const auto& info) {
                           std::string name = info.param.fixture + "_rank" +
                                              std::to_string(info.param.rank) + "_from" +
                                              std::to_string(info.param.first_layer);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// ‖sum over t of left_t right_t^T‖ of one example, in extended precision.
double ExactNorm(const at::Tensor& left, const at::Tensor& right) {
  long double squared = 0;
  for (std::int64_t i = 0; i < left.size(2); ++i) {
    for (std::int64_t j = 0; j < right.size(2); ++j) {
      long double entry = 0;
      for (std::int64_t t = 0; t < left.size(1); ++t) {
        entry += static_cast<long double>(left[0][t][i].item<float>()) *
                 static_cast<long double>(right[0][t][j].item<float>());
      }
      squared += entry * entry;
    }
  }
  return static_cast<double>(sqrtl(squared));
}

TEST(ExampleGradients, BoundHoldsWhereTokensNearlyCancel) {
  at::manual_seed(11);
  std::printf("seed 11\n");
  int fp32_far_too_small = 0;
  for (int round = 0; round < 40; ++round) {
    const at::Tensor g = at::randn({1, 1, 6}), a = at::randn({1, 1, 40});
    // The second token undoes the first but for a few units in the last place.
    const double nearly = 1 + 0x1p-22 * (round % 8 + 1);
    const at::Tensor left = at::cat({g, -g * nearly}, 1);
    const at::Tensor right = at::cat({a, a}, 1);
    const double exact = ExactNorm(left, right);
    ASSERT_GT(exact, 0);
    for (const NormMethod method : {NormMethod::kInstantiate, NormMethod::kGram}) {
      const ExampleGradients gradients(left, right, method);
      const double bound = std::sqrt(std::max(0.0, gradients.squared_norms()[0].item<double>()) +
                                     gradients.slack()[0].item<double>());
      EXPECT_GE(bound, exact);
      EXPECT_LT(bound, 100 * exact);
    }
    // The same norm by Gram matrices in fp32.
    const double fp32 =
        (at::bmm(left, left.transpose(1, 2)) * at::bmm(right, right.transpose(1, 2)))
            .sum()
            .item<double>();
    if (std::sqrt(std::max(0.0, fp32)) < 0.5 * exact) ++fp32_far_too_small;
  }
  EXPECT_GT(fp32_far_too_small, 0);
}

// Three examples through one path; the second one's input is `poison` in one place.
at::Tensor PoisonedSum(float poison, std::span<const std::int64_t> chosen) {
  at::manual_seed(5);
  at::Tensor x = at::randn({3, 4, 5});
  const at::Tensor weight = at::randn({3, 4, 6});
  const at::Tensor a = at::randn({2, 5}).requires_grad_(), b = at::randn({6, 2}).requires_grad_();
  x[1][2][3] = poison;
  const at::Tensor rows = at::tensor(std::vector<std::int64_t>(chosen.begin(), chosen.end()));
  BookKeeping engine =
      Engine({{.rank = 2, .in = 5, .out = 6, .a_offset = 0, .b_offset = 10}}, 22, 1.0);
  const at::Tensor y = LoraPath(x.index_select(0, rows), a, b, 0.5, &engine, 0);
  torch::autograd::backward({(y * weight.index_select(0, rows)).sum()}, {});
  EXPECT_TRUE(engine.EndMicroBatch());
  return Values(std::move(engine).Finish());
}

TEST(BookKeeping, NonFiniteExampleContributesZero) {
  std::printf("seed 5\n");
  const std::vector<std::int64_t> all = {0, 1, 2}, others = {0, 2}, second = {1};
  for (const float poison : {NAN, INFINITY, -INFINITY}) {
    const at::Tensor sum = PoisonedSum(poison, all);
    EXPECT_TRUE(sum.isfinite().all().item<bool>());
    EXPECT_LT(RelativeError(sum, PoisonedSum(1.0F, others)), 1e-6);
  }
  // A finite value there does contribute.
  EXPECT_GT(Norm(PoisonedSum(1.0F, second)), 0.1);
}

TEST(BookKeeping, EmptyDrawIsAZeroVector) {
  const ClippedSum sum =
      Engine({{.rank = 1, .in = 2, .out = 2, .a_offset = 0, .b_offset = 2}}, 4, 1.0).Finish();
  EXPECT_EQ(sum.values(), std::vector<double>(4, 0.0));
  EXPECT_EQ(sum.clip_norm(), 1.0);
}

TEST(BookKeeping, RefusesWhatItDoesNotHold) {
  const auto users = BookKeeping::Create({}, 0, {.clip_norm = 1, .unit = PrivacyUnit::kUser});
  ASSERT_FALSE(users);
  EXPECT_EQ(users.error().code, base::Code::kUnimplemented);
  for (const double clip_norm : {0.0, -1.0, static_cast<double>(NAN), HUGE_VAL}) {
    const auto engine =
        BookKeeping::Create({}, 0, {.clip_norm = clip_norm, .unit = PrivacyUnit::kRecord});
    ASSERT_FALSE(engine);
    EXPECT_EQ(engine.error().code, base::Code::kInvalidArgument);
  }
}

}  // namespace
}  // namespace cloister::dp::clipping
