// Noise takes its memory before it is paid for: want of memory spends nothing.
#include <gtest/gtest.h>

#include <vector>

#include "dp/matrix_factorization/factorization.h"
#include "dp/matrix_factorization/matrix_mechanism.h"
#include "dp/mechanism/gaussian_mechanism.h"
#include "tests/dp/large_mappings.h"
#include "tests/dp/mechanism_fakes.h"
#include "tests/dp/rounded_gaussian.h"

namespace cloister::dp {
namespace {

using clipping::ClippedSumFactory;

constexpr std::int64_t kDimension = (std::int64_t{1} << 20) + 77;  // 4 MiB of four bytes
constexpr double kClipNorm = 0.5;
constexpr double kFinest = kClipNorm * 0x1p-26;

// Knows how often memory was asked for when it was asked itself.
class WatchingLedger final : public UnkeptLedger {
 public:
  base::Status Debit(const std::string&, const Spend&) override {
    ++debits;
    return Saw();
  }
  base::Status RecordStep(const std::string&, const std::string&, const ReleasedStep&) override {
    return Saw();
  }

  int debits = 0;
  std::int64_t mappings = 0;  // when it was asked last

 private:
  base::Status Saw() {
    mappings = LargeMappings();
    return {};
  }
};

// `units` of them, each of 2^26 spacings on every coordinate.
ClippedSum Sum(int units, double spacing, Neighbours neighbours) {
  const std::vector<double> values(kDimension, 0x1p26 * spacing);
  std::vector<ClippedSum> ranks;
  ranks.push_back(
      ClippedSumFactory::Make(std::vector<double>(kDimension), spacing, kClipNorm, 0, neighbours));
  for (int unit = 0; unit < units; ++unit) {
    ranks.push_back(ClippedSumFactory::Make(values, spacing, kClipNorm, 0, neighbours));
  }
  return std::move(ClippedSum::Join(std::move(ranks))).value();
}

std::int64_t MostOf(const NoisedSum& sum) {
  const std::vector<std::int64_t> lattice = sum.lattice();
  return *std::max_element(lattice.begin(), lattice.end());
}

GaussianMechanism Gaussian(double noise_multiplier, double spacing) {
  return std::move(GaussianMechanism::Create({.noise_multiplier = noise_multiplier,
                                              .clip_norm = kClipNorm,
                                              .sampling_rate = 0.1,
                                              .dimension = kDimension,
                                              .spacing = spacing,
                                              .neighbours = Neighbours::kAddOrRemoveOne},
                                             StreamOfSeed(5)))
      .value();
}

struct Case {
  double noise_multiplier = 0;
  double spacing = 0;
  int units = 0;
};

TEST(NoiseMemory, IsTakenBeforeTheDebit) {
  // Noise that passes four bytes; a sum that nearly does.
  for (const auto& [noise, spacing, units] : {Case{20, kFinest, 0}, Case{0.5, kFinest, 15}}) {
    GaussianMechanism mechanism = Gaussian(noise, spacing);
    WatchingLedger ledger;
    ClippedSum sum = Sum(units, spacing, Neighbours::kAddOrRemoveOne);
    const std::int64_t before = LargeMappings();
    const auto noised = mechanism.Release(std::move(sum), ledger, "set", {"job", 1, 0});
    ASSERT_TRUE(noised) << noised.error().message;
    EXPECT_EQ(ledger.mappings, before + 1);
    EXPECT_EQ(LargeMappings(), ledger.mappings);
    EXPECT_GT(MostOf(*noised), std::int64_t{1} << 30);
  }
}

TEST(NoiseMemory, NoneIsTakenWhereFourBytesHoldIt) {
  GaussianMechanism mechanism = Gaussian(1, kClipNorm * 0x1p-24);
  WatchingLedger ledger;
  ClippedSum sum = Sum(1, kClipNorm * 0x1p-24, Neighbours::kAddOrRemoveOne);
  const std::int64_t before = LargeMappings();
  ASSERT_TRUE(mechanism.Release(std::move(sum), ledger, "set", {"job", 1, 0}));
  EXPECT_EQ(LargeMappings(), before);
}

TEST(NoiseMemory, WantOfItSpendsNothing) {
  GaussianMechanism mechanism = Gaussian(20, kFinest);
  WatchingLedger ledger;
  ClippedSum sum = Sum(0, kFinest, Neighbours::kAddOrRemoveOne);
  const NoLargeMappings no_memory;
  const auto refused = mechanism.Release(std::move(sum), ledger, "set", {"job", 1, 0});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::kInternal);
  EXPECT_EQ(ledger.debits, 0);
}

class MatrixNoiseMemory : public testing::Test {
 protected:
  static constexpr double kSpacing = kFinest * 8;

  ClippedSum NearlyFull() const { return Sum(15, kSpacing, Neighbours::kZeroOut); }
  base::Result<NoisedSum> Release(ClippedSum sum) {
    return mechanism_.Release(std::move(sum), ledger_, "set", {"job", 0, 0},
                              [](const CorrelatedNoise&) { return base::Status(); });
  }

  WatchingLedger ledger_;
  MatrixMechanism mechanism_ =
      MatrixMechanism::Create({.noise_multiplier = 1.9,
                               .clip_norm = kClipNorm,
                               .dimension = kDimension,
                               .spacing = kSpacing,
                               .participation = {1, 2}},
                              OptimizeToeplitz({4, 0}, 2).value(), StreamOfSeed(6))
          .value();
};

TEST_F(MatrixNoiseMemory, IsTakenBeforeAnythingIsSpentOrGivenUp) {
  for (int step = 1; step <= 2; ++step) {
    ClippedSum sum = NearlyFull();
    const std::int64_t before = LargeMappings();
    const auto noised = Release(std::move(sum));
    ASSERT_TRUE(noised) << noised.error().message;
    EXPECT_EQ(ledger_.mappings, before + 1);
    EXPECT_EQ(LargeMappings(), ledger_.mappings);
    EXPECT_GT(MostOf(*noised), std::int64_t{1} << 30);
  }
  EXPECT_EQ(ledger_.debits, 1);
}

TEST_F(MatrixNoiseMemory, WantOfItSpendsNothingAndGivesNoStepUp) {
  ClippedSum sum = NearlyFull();
  const NoLargeMappings no_memory;
  const auto refused = Release(std::move(sum));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::kInternal);
  EXPECT_EQ(ledger_.debits, 0);
  EXPECT_EQ(mechanism_.step(), 0);
}

TEST(LatticeSum, ReservesWhatCouldPassItsSmallWordsAndNoMore) {
  constexpr std::int64_t kCarry = std::int64_t{1} << 30;
  const auto reserves = [](std::int64_t value, double most) {
    LatticeSum sum(kDimension);
    sum.Add(kDimension - 1, std::vector<std::int64_t>{value});
    const std::int64_t before = LargeMappings();
    EXPECT_TRUE(sum.Reserve(most));
    const bool reserved = LargeMappings() > before;
    EXPECT_TRUE(sum.Reserve(most));
    const std::int64_t held = LargeMappings();
    const auto number = static_cast<std::int64_t>(most);
    sum.Add(kDimension - 1, std::vector<std::int64_t>{value < 0 ? -number : number});
    EXPECT_EQ(LargeMappings(), held);
    return reserved;
  };
  EXPECT_FALSE(reserves(0, kCarry - 1));
  EXPECT_TRUE(reserves(0, kCarry));
  EXPECT_TRUE(reserves(0, 1e12));
  EXPECT_FALSE(reserves(1000, kCarry - 1001));
  EXPECT_TRUE(reserves(1000, kCarry - 1000));
  EXPECT_TRUE(reserves(-1000, kCarry - 1000));
  // The test sees what is not reserved.
  LatticeSum sum(kDimension);
  const std::int64_t before = LargeMappings();
  sum.Add(0, std::vector<std::int64_t>{kCarry});
  EXPECT_EQ(LargeMappings(), before + 1);
}

}  // namespace
}  // namespace cloister::dp
