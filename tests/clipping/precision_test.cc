// Networks that compute in bfloat16: near fp32's, and clipped by the very values that are added.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "tests/clipping/network_case.h"
#include "tests/clipping/torch.h"
#include "tests/clipping/whole_network.h"
#include "tests/model/fixture_folders.h"

namespace cloister::dp::clipping {
namespace {

using trainer::Precision;

constexpr trainer::ComputeOptions kBf16 = {.precision = Precision::kBf16};
constexpr trainer::ComputeOptions kBf16Checkpointing = {.activation_checkpointing = true,
                                                        .precision = Precision::kBf16};

double Norm(const at::Tensor& x) { return at::linalg_vector_norm(x).item<double>(); }

BookKeeping Engine(std::vector<ParameterShape> shapes, double clip_norm) {
  return BookKeeping::Create(std::move(shapes), {.rule = {.clip_norms = {clip_norm}},
                                                 .unit = PrivacyUnit::kRecord,
                                                 .neighbours = Neighbours::kAddOrRemoveOne})
      .value();
}

// The gradient that an observer was told of, in fp64 [parameters]; `parts`: of the first so many
// pieces alone.
at::Tensor GradientOf(const std::vector<Told>& told, const std::vector<ParameterShape>& shapes,
                      std::size_t parts) {
  at::Tensor flat =
      at::zeros({shapes.back().offset + shapes.back().elements()}, at::TensorOptions(at::kDouble));
  for (std::size_t i = 0; i < std::min(parts, told.size()); ++i) {
    const Told& one = told[i];
    const ParameterShape& shape = shapes[static_cast<std::size_t>(one.parameter)];
    const at::Tensor part = flat.narrow(0, shape.offset, shape.elements());
    const at::Tensor left = one.left.detach().to(at::kDouble);
    if (!one.right.defined()) {
      part.add_(left.sum(0));
    } else if (one.left.scalar_type() == at::kLong) {
      part.view({shape.rows, shape.columns})
          .index_add_(0, one.left, one.right.detach().to(at::kDouble));
    } else {
      part.view({shape.rows, shape.columns})
          .add_(at::mm(left.t(), one.right.detach().to(at::kDouble)));
    }
  }
  return flat;
}

// Whether some token goes to another expert in one network than in the other: two experts' scores
// were nearer than a rounding, and what follows is another function.
bool ChoiceDiffers(const WholeNetwork& a, const WholeNetwork& b, std::size_t example) {
  const auto rows = [&](const WholeNetwork& network) {
    Recorder recorder;
    network.Run(example, recorder);
    std::map<std::int64_t, std::int64_t> rows_of;
    for (const Told& told : recorder.told) rows_of[told.parameter] += told.left.size(0);
    return rows_of;
  };
  return rows(a) != rows(b);
}

class RoundedFixture : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(RoundedFixture, LossesAndNormsAreNearThoseOfFp32) {
  const WholeNetwork exact(GetParam(), {}), rounded(GetParam(), kBf16);
  BookKeeping exact_engine = Engine(exact.numbers().shapes(), 1);
  BookKeeping rounded_engine = Engine(rounded.numbers().shapes(), 1);
  UnitClipper exact_unit(exact_engine), rounded_unit(rounded_engine);
  for (std::size_t i = 0; i < exact.examples(); ++i) {
    const double allowed = ChoiceDiffers(exact, rounded, i) ? 10 : 1;
    const double loss = exact.Run(i, exact_unit);
    EXPECT_NEAR(rounded.Run(i, rounded_unit), loss, allowed * 1e-2 * loss);
    const double norm = exact_unit.EndUnit()->computed;
    EXPECT_NEAR(rounded_unit.EndUnit()->computed, norm, allowed * 3e-2 * norm);
  }
}

// A sum of what was observed, scaled by its own norm, in fp64: what is bounded is what is added.
TEST_P(RoundedFixture, ClipsByTheValuesThatAreAdded) {
  const WholeNetwork network(GetParam(), kBf16);
  const std::vector<ParameterShape>& shapes = network.numbers().shapes();
  for (std::size_t i = 0; i < network.examples(); ++i) {
    Recorder recorder;
    network.Run(i, recorder);
    const at::Tensor gradient = GradientOf(recorder.told, shapes, recorder.told.size());
    const double clip_norm = Norm(gradient) / 3;
    BookKeeping engine = Engine(shapes, clip_norm);
    UnitClipper unit(engine);
    network.Run(i, unit);
    EXPECT_GE(unit.EndUnit()->bound, Norm(gradient) * (1 - 1e-12));
    const ClippedSum sum = std::move(engine).Finish();
    const at::Tensor added = Values(sum);
    EXPECT_LE(Norm(added), clip_norm * (1 + 1e-12) + sum.excess());
    EXPECT_GT(Norm(added), 0.98 * clip_norm);
    const double scale = Norm(added) / Norm(gradient);
    EXPECT_LT(Norm(added - gradient * scale), 1e-5 * clip_norm + sum.excess());
    // Broken on purpose: bounded by half of what is told.
    const at::Tensor half = GradientOf(recorder.told, shapes, recorder.told.size() / 2);
    EXPECT_GT(Norm(gradient) * clip_norm / Norm(half), 1.01 * clip_norm);
  }
}

TEST_P(RoundedFixture, CheckpointingChangesNoBit) {
  const WholeNetwork kept(GetParam(), kBf16), again(GetParam(), kBf16Checkpointing);
  for (std::size_t i = 0; i < kept.examples(); ++i) {
    Recorder expected, recomputed;
    EXPECT_EQ(kept.Run(i, expected), again.Run(i, recomputed));
    EXPECT_TRUE(expected.told == recomputed.told) << "example " << i;
  }
}

TEST_P(RoundedFixture, OrdinaryGradientsAreFp32AndNearThoseOfFp32) {
  const WholeNetwork exact(GetParam(), {}), rounded(GetParam(), kBf16);
  for (std::size_t i = 0; i < exact.examples(); ++i) {
    const auto expected = exact.PlainGradients(i), got = rounded.PlainGradients(i);
    double off = 0, all = 0;
    for (std::size_t p = 0; p < expected.size(); ++p) {
      if (!expected[p].defined() || !got[p].defined()) continue;  // an expert that no token chose
      ASSERT_EQ(got[p].scalar_type(), at::kFloat);
      off += std::pow(Norm(got[p] - expected[p]), 2);
      all += std::pow(Norm(expected[p]), 2);
    }
    EXPECT_LT(std::sqrt(off / all), ChoiceDiffers(exact, rounded, i) ? 0.5 : 0.1);
  }
}

INSTANTIATE_TEST_SUITE_P(Clipping, RoundedFixture,
                         testing::ValuesIn(cloister::fixtures::FixtureFolders()),
                         [](const auto& info) {
                           return cloister::fixtures::FixtureName(info.param);
                         });

// Adapters on frozen weights.
class RoundedAdapter : public testing::TestWithParam<std::string> {};

TEST_P(RoundedAdapter, ObserversAreToldOfBf16AndClippedByIt) {
  const NetworkCase exact(GetParam(), 3, 0), rounded(GetParam(), 3, 0, kBf16);
  bool unrounded_would_pass = false;
  for (std::size_t i = 0; i < rounded.examples(); ++i) {
    Recorder recorder, of_exact;
    rounded.Run(std::array{i}, recorder);
    exact.Run(std::array{i}, of_exact);
    ASSERT_EQ(recorder.told.size(), rounded.shapes().size());
    for (const Told& told : recorder.told) {
      EXPECT_EQ(told.left.scalar_type(), at::kBFloat16);
      EXPECT_EQ(told.right.scalar_type(), at::kBFloat16);
    }
    const at::Tensor gradient = GradientOf(recorder.told, rounded.shapes(), recorder.told.size());
    const double norm = Norm(gradient);
    const double exact_norm = Norm(GradientOf(of_exact.told, exact.shapes(), of_exact.told.size()));
    EXPECT_NEAR(norm, exact_norm, 5e-2 * exact_norm);
    BookKeeping engine = Engine(rounded.shapes(), norm / 2);
    UnitClipper unit(engine);
    rounded.Run(std::array{i}, unit);
    EXPECT_GE(unit.EndUnit()->bound, norm * (1 - 1e-12));
    const ClippedSum sum = std::move(engine).Finish();
    EXPECT_LE(Norm(Values(sum)), norm / 2 + sum.excess());
    EXPECT_LT(Norm(Values(sum) - gradient / 2), 1e-5 * norm + sum.excess());
    // Broken on purpose: the norm of the unrounded gradient lets the rounded one pass.
    unrounded_would_pass |= norm / exact_norm > 1 + 1e-4;
  }
  EXPECT_TRUE(unrounded_would_pass);
}

INSTANTIATE_TEST_SUITE_P(Clipping, RoundedAdapter,
                         testing::Values("llama", "llama-tied-rope3", "qwen3", "deepseek-v2"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// A matrix whose factors all round upwards: the unrounded norm is too small by more than any slack.
TEST(RoundedMatrix, TheNormIsThatOfTheRoundedFactors) {
  const at::Tensor left = at::full({4, 3}, 1.0F + 0x1.8p-8F), right = at::full({4, 5}, 1.0F);
  const at::Tensor rounded = left.to(at::kBFloat16), ones = right.to(at::kBFloat16);
  const MatrixGradient added(rounded, ones, NormMethod::kCheapest);
  at::Tensor sum = at::zeros({3, 5}, at::TensorOptions(at::kDouble));
  added.ForEachPiece([&](std::int64_t row, const Numbers& numbers) {
    const auto values = std::get<std::span<const double>>(numbers);
    std::copy(values.begin(), values.end(), sum.mutable_data_ptr<double>() + row * 5);
  });
  EXPECT_GE(added.norm().upper(), Norm(sum));
  EXPECT_LE(added.norm().upper(), 1.001 * Norm(sum));
  const MatrixGradient unrounded(left, right, NormMethod::kCheapest);
  EXPECT_LT(unrounded.norm().upper(), 0.999 * Norm(sum));
}

// What overflows bf16, too, keeps its example out.
TEST(RoundedPath, NonFiniteExampleContributesZero) {
  std::printf("seed 5\n");
  at::manual_seed(5);
  const at::Tensor a = at::randn({2, 5}).requires_grad_(), b = at::randn({6, 2}).requires_grad_();
  const at::Tensor x = at::randn({1, 4, 5}), weight = at::randn({4, 6});
  const auto sum_with = [&](float poison) {
    BookKeeping engine = Engine(
        {{.rows = 2, .columns = 5, .offset = 0}, {.rows = 6, .columns = 2, .offset = 10}}, 1.0);
    UnitClipper unit(engine);
    at::Tensor poisoned = x.clone();
    poisoned[0][2][3] = poison;
    const at::Tensor y = LoraPath(poisoned.to(at::kBFloat16), a, b, 0.5, {&unit, 0, 1});
    torch::autograd::backward({(y * weight).sum()}, {});
    EXPECT_TRUE(unit.EndUnit());
    return Values(std::move(engine).Finish());
  };
  for (const float poison : {NAN, INFINITY, -INFINITY, 3.4e38F}) {
    EXPECT_TRUE(at::equal(sum_with(poison), at::zeros({22}, at::TensorOptions(at::kDouble))));
  }
  EXPECT_GT(Norm(sum_with(1.0F)), 0.1);
}

TEST(RoundedWeights, MatricesAreLoadedAtHalfTheSizeAndRoutersInFull) {
  const auto files =
      model::ModelFiles::Open(std::string(CLOISTER_TEST_DATA) + "/models/deepseek-v2").value();
  const auto architecture = files->architecture().value();
  const auto full = trainer::LoadWeights(*files, architecture).value();
  const auto half = trainer::LoadWeights(*files, architecture, Precision::kBf16).value();
  const auto expected = full.Parameters(), got = half.Parameters();
  ASSERT_EQ(got.size(), expected.size());
  std::int64_t wide_matrices = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (got[i].scalar_type() == at::kFloat) {
      EXPECT_TRUE(at::equal(got[i], expected[i]));
      if (got[i].dim() == 2) ++wide_matrices;
    } else {
      EXPECT_TRUE(at::equal(got[i], expected[i].to(at::kBFloat16)));
    }
  }
  std::int64_t routers = 0;
  for (const auto& layer : half.layers) routers += layer.mixture ? 1 : 0;
  EXPECT_EQ(wide_matrices, routers);
}

// The masters are what is trained; products go by their copies until these are made again.
TEST(RoundedWeights, CopiesFollowTheMastersWhenAsked) {
  at::set_num_threads(1);
  const auto files =
      model::ModelFiles::Open(std::string(CLOISTER_TEST_DATA) + "/models/llama").value();
  const auto architecture = files->architecture().value();
  trainer::Network network(architecture, trainer::LoadWeights(*files, architecture).value(), kBf16);
  const at::NoGradGuard no_grad;
  const at::Tensor ids = at::arange(12).view({1, 12});
  const at::Tensor before = network.Hidden(ids, nullptr);
  for (const auto& layer : network.weights().layers) {
    EXPECT_EQ(layer.output.weight.scalar_type(), at::kFloat);
    at::Tensor(layer.output.weight).mul_(2);
  }
  EXPECT_TRUE(at::equal(network.Hidden(ids, nullptr), before));
  network.RoundWeights();
  EXPECT_FALSE(at::equal(network.Hidden(ids, nullptr), before));
}

}  // namespace
}  // namespace cloister::dp::clipping
