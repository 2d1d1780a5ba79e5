#include "dp/mechanism/gaussian_mechanism.h"

#include <gtest/gtest.h>

#include <cmath>

#include "dp/accounting/rdp_accountant.h"
#include "tests/dp/mechanism_fakes.h"
#include "tests/dp/rounded_gaussian.h"

namespace cloister::dp {

namespace {

using clipping::ClippedSumFactory;

constexpr std::int64_t kDimension = 23'040;

GaussianMechanism::Parameters Good() {
  GaussianMechanism::Parameters p;
  p.noise_multiplier = 0.6;
  p.clip_norm = 0.1;
  p.sampling_rate = 0.04;
  p.dimension = kDimension;
  p.spacing = 0x1p-24;
  p.neighbours = Neighbours::kAddOrRemoveOne;
  return p;
}

GaussianMechanism Make(const GaussianMechanism::Parameters& p, std::uint8_t seed = 1) {
  auto mechanism = GaussianMechanism::Create(p, StreamOfSeed(seed));
  EXPECT_TRUE(mechanism) << (mechanism ? "" : mechanism.error().message);
  return std::move(mechanism).value();
}

ClippedSum Sum(double value = 0, double excess = 0) {
  return ClippedSumFactory::Make(std::vector<double>(kDimension, value), Good().spacing, 0.1,
                                 excess);
}

TEST(GaussianMechanism, AddsTheWholeNoiseToTheLattice) {
  FakeLedger ledger;
  GaussianMechanism mechanism = Make(Good());
  const double sigma = 0.6 * 0.1 / 0x1p-24;
  const auto noised = mechanism.Release(Sum(0.003), ledger, "set", {"job", 1, 0});
  ASSERT_TRUE(noised) << noised.error().message;
  EXPECT_EQ(noised->spacing(), 0x1p-24);
  std::vector<std::int64_t> noise = noised->lattice();
  for (std::int64_t& value : noise) value -= std::llround(0.003 / 0x1p-24);
  EXPECT_EQ(FindDeviation(noise, sigma), "");
  // The broken variant: the same test on a sum without noise.
  EXPECT_NE(FindDeviation(std::vector<std::int64_t>(kDimension, 0), sigma), "");
}

// More numbers than one stream makes: every block is noised, and each by numbers of its own.
TEST(GaussianMechanism, BlocksOfALargeSumHaveNoiseOfTheirOwn) {
  constexpr std::int64_t kBlock = std::int64_t{1} << 20, kSize = kBlock + 30'000;
  FakeLedger ledger;
  GaussianMechanism::Parameters p = Good();
  p.dimension = kSize;
  const auto release = [&](std::uint8_t seed) {
    const std::vector<double> zeros(kSize);
    const auto noised = Make(p, seed).Release(ClippedSumFactory::Make(zeros, p.spacing, 0.1),
                                              ledger, "set", {"job", seed, 0});
    EXPECT_TRUE(noised) << noised.error().message;
    return noised->lattice();
  };
  const std::vector<std::int64_t> noise = release(3);
  const std::vector<std::int64_t> last(noise.begin() + kBlock, noise.end());
  const std::vector<std::int64_t> first(noise.begin(), noise.begin() + kSize - kBlock);
  const double sigma = 0.6 * 0.1 / 0x1p-24;
  EXPECT_EQ(FindDeviation(first, sigma), "");
  EXPECT_EQ(FindDeviation(last, sigma), "");
  double product = 0;
  for (std::size_t i = 0; i < last.size(); ++i) {
    EXPECT_NE(first[i] == last[i] && first[i + 1] == last[i + 1], true) << i;
    product += static_cast<double>(first[i]) * static_cast<double>(last[i]) / (sigma * sigma);
    if (i + 2 == last.size()) break;
  }
  EXPECT_LT(std::abs(product), 5 * std::sqrt(static_cast<double>(last.size())));
  EXPECT_EQ(release(3), noise) << "whatever the number of threads";
}

TEST(GaussianMechanism, AShareIsTheWholeOverTheRootOfTheShares) {
  FakeLedger ledger;
  GaussianMechanism::Parameters p = Good();
  p.noise_shares = 2;
  p.summed_shares = 4;
  GaussianMechanism mechanism = Make(p);
  const auto noised = mechanism.Release(Sum(), ledger, "set", {"job", 1, 0});
  ASSERT_TRUE(noised);
  const double whole = 0.6 * 0.1 / 0x1p-24;
  EXPECT_EQ(FindDeviation(noised->lattice(), whole / std::sqrt(2.0)), "");
  EXPECT_NE(FindDeviation(noised->lattice(), whole), "");
  // Any two shares together carry the whole.
  const auto other = Make(p, 2).Release(Sum(), ledger, "set", {"job", 2, 0});
  std::vector<std::int64_t> both = noised->lattice();
  for (std::size_t i = 0; i < both.size(); ++i) both[i] += other->lattice()[i];
  EXPECT_EQ(FindDeviation(both, whole), "");
}

TEST(GaussianMechanism, CutsWhatPassesItsLargestCoordinateBeforeNoise) {
  GaussianMechanism::Parameters p = Good();
  p.largest_coordinate = 1000;
  FakeLedger ledger;
  std::vector<double> values(kDimension, 100 * p.clip_norm);  // of many units
  values.front() = -100 * p.clip_norm;
  const double sigma = 0.6 * 0.1 / 0x1p-24;
  auto noised = Make(p).Release(ClippedSumFactory::Make(values, p.spacing, 0.1), ledger, "set",
                                {"job", 1, 0});
  ASSERT_TRUE(noised);
  std::vector<std::int64_t> noise = noised->lattice();
  for (std::int64_t& value : noise) value -= 1000;
  noise.front() += 2000;
  EXPECT_EQ(FindDeviation(noise, sigma), "");
  EXPECT_LT(std::abs(static_cast<double>(noise.front())), 8 * sigma);
  EXPECT_EQ(Make(p).event(), Make(Good()).event());

  p.largest_coordinate.reset();
  noised = Make(p).Release(ClippedSumFactory::Make(values, p.spacing, 0.1), ledger, "set",
                           {"job", 2, 0});
  EXPECT_NE(FindDeviation(noised->lattice(), sigma), "");
}

TEST(GaussianMechanism, AccountsForTheSensitivityOfTheLattice) {
  GaussianMechanism::Parameters p = Good();
  const Event event = Make(p).event();
  // sigma C over C + excess; the excess is that of rounding each coordinate twice, and a hair.
  const double rounding = Good().spacing * std::sqrt(static_cast<double>(kDimension));
  EXPECT_LT(event.noise_multiplier, 0.6 / (1 + rounding / 0.1));
  EXPECT_NEAR(event.noise_multiplier, 0.6 / (1 + rounding / 0.1), 1e-11);
  EXPECT_LT(event.noise_multiplier, 0.59995) << "9e-5 of the norm here";
  EXPECT_EQ(event.sampling_rate, 0.04);
  EXPECT_EQ(event.steps, 1);
  EXPECT_EQ(event.neighbours, Neighbours::kAddOrRemoveOne);
  EXPECT_GT(event.delta_slack, 0);
  EXPECT_LT(event.delta_slack, 1e-25);
  EXPECT_EQ(Make(p).own_noise_event(), event);

  p.noise_shares = 2;
  p.summed_shares = 4;
  EXPECT_DOUBLE_EQ(Make(p).event().noise_multiplier, event.noise_multiplier);
  EXPECT_DOUBLE_EQ(Make(p).own_noise_event().noise_multiplier,
                   event.noise_multiplier / std::sqrt(2.0));
  EXPECT_LT(Make(p).event().delta_slack, 1e-25);

  // A coarser lattice costs more, up to 1 % of the norm.
  p.spacing = 0x1p-18;
  EXPECT_LT(Make(p).event().noise_multiplier, 0.6 / 1.005);
  EXPECT_GT(Make(p).event().noise_multiplier, 0.6 / 1.01);
}

TEST(GaussianMechanism, DebitsWhatTheReleaseCosts) {
  FakeLedger ledger;
  GaussianMechanism::Parameters p = Good();
  p.noise_shares = 2;
  p.summed_shares = 4;
  GaussianMechanism mechanism = Make(p);
  ASSERT_TRUE(mechanism.Release(Sum(), ledger, "set", {"job", 7, 1}));
  ASSERT_EQ(ledger.spends.size(), 1u);
  EXPECT_EQ(ledger.spends[0].key.job, "job");
  EXPECT_EQ(ledger.spends[0].key.round, 7);
  EXPECT_EQ(ledger.spends[0].key.attempt, 1);
  EXPECT_EQ(ledger.spends[0].event, mechanism.event());
  EXPECT_EQ(ledger.spends[0].own_noise_only, mechanism.own_noise_event());
}

// Not one bit of noise is drawn before the ledger has said yes.
TEST(GaussianMechanism, DebitsBeforeItDrawsAndReleasesNothingOtherwise) {
  FakeLedger ledger;
  ledger.failing = true;
  GaussianMechanism mechanism = Make(Good(), 9);
  const auto refused = mechanism.Release(Sum(), ledger, "set", {"job", 1, 0});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::kResourceExhausted);
  EXPECT_EQ(ledger.spends.size(), 1u);

  ledger.failing = false;
  const auto released = mechanism.Release(Sum(), ledger, "set", {"job", 2, 0});
  FakeLedger fresh_ledger;
  const auto fresh = Make(Good(), 9).Release(Sum(), fresh_ledger, "set", {"job", 2, 0});
  EXPECT_EQ(released->lattice(), fresh->lattice());
  // And what is drawn is drawn once.
  const auto next = mechanism.Release(Sum(), ledger, "set", {"job", 3, 0});
  EXPECT_NE(next->lattice(), released->lattice());
}

TEST(GaussianMechanism, RefusesSumsThatItsBoundDoesNotCover) {
  FakeLedger ledger;
  GaussianMechanism mechanism = Make(Good());
  const auto release = [&](ClippedSum sum) {
    return mechanism.Release(std::move(sum), ledger, "set", {"job", 1, 0}).has_value();
  };
  const double nan = std::nan("");
  const std::vector<double> zeros(kDimension);
  const double g = Good().spacing;
  EXPECT_FALSE(release(ClippedSumFactory::Make(zeros, g, 0.2)));
  EXPECT_FALSE(release(ClippedSumFactory::Make(zeros, g / 2, 0.1)));
  EXPECT_FALSE(release(ClippedSumFactory::Make(zeros, g, 0.1, 0, Neighbours::kZeroOut)));
  EXPECT_FALSE(release(ClippedSumFactory::Make(std::vector<double>(3), g, 0.1)));
  EXPECT_FALSE(release(Sum(0, nan)));
  EXPECT_FALSE(release(Sum(0, -1)));
  EXPECT_FALSE(release(Sum(0, 1e-5))) << "more than rounding 23,040 numbers to 2^-24 may add";
  EXPECT_TRUE(ledger.spends.empty()) << "a refused sum is not charged";
  EXPECT_TRUE(release(Sum(0, 9e-6)));
}

TEST(GaussianMechanism, RefusesParametersOutsideItsProof) {
  using P = GaussianMechanism::Parameters;
  const auto refused = [](void (*change)(P&)) {
    P p = Good();
    change(p);
    const auto mechanism = GaussianMechanism::Create(p, StreamOfSeed(1));
    return !mechanism && mechanism.error().code == base::Code::kInvalidArgument;
  };
  EXPECT_TRUE(refused([](P& p) { p.noise_multiplier = 0; }));
  EXPECT_TRUE(refused([](P& p) { p.noise_multiplier = std::nan(""); }));
  EXPECT_TRUE(refused([](P& p) { p.clip_norm = -1; }));
  EXPECT_TRUE(refused([](P& p) { p.sampling_rate = 0; }));
  EXPECT_TRUE(refused([](P& p) { p.sampling_rate = 1.5; }));
  EXPECT_TRUE(refused([](P& p) { p.dimension = 0; }));
  EXPECT_TRUE(refused([](P& p) { p.spacing = 0; }));
  EXPECT_TRUE(refused([](P& p) { p.spacing = 0.6 * 0.1 / 63; }));  // noise under 64 spacings
  EXPECT_TRUE(refused([](P& p) { p.spacing = 0x1p-16; }));         // g sqrt(d) over 1 % of C
  EXPECT_TRUE(refused([](P& p) { p.spacing = 1e-20; }));           // past int64's safe range
  EXPECT_TRUE(refused([](P& p) { p.noise_shares = 0; }));
  EXPECT_TRUE(refused([](P& p) { p.largest_coordinate = 0; }));
  EXPECT_TRUE(refused([](P& p) {
    p.noise_shares = 3;
    p.summed_shares = 2;
  }));
  EXPECT_TRUE(refused([](P& p) {  // a share of 64 / sqrt(32) spacings
    p.dimension = 1;
    p.spacing = 0.6 * 0.1 / 64.5;
    p.noise_shares = p.summed_shares = 32;
  }));
}

TEST(Event, JsonRoundTripsAndIsChecked) {
  const Event event{0.6, 0.04, 3, Neighbours::kZeroOut, 1e-30};
  const auto read = EventFromJson(ToJson(event));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, event);
  Event discrete = event;
  discrete.mechanism = Mechanism::kDiscreteGaussian;
  discrete.sensitivity = 3;
  EXPECT_EQ(EventFromJson(ToJson(discrete)).value(), discrete);
  discrete.sensitivity = 1.5;
  EXPECT_FALSE(EventFromJson(ToJson(discrete)));
  Event laplace = event;
  laplace.mechanism = Mechanism::kLaplace;
  EXPECT_EQ(EventFromJson(ToJson(laplace)).value(), laplace);
  const auto refused = [&](const char* field, const nlohmann::json& value) {
    nlohmann::json json = ToJson(event);
    json[field] = value;
    return !EventFromJson(json).has_value();
  };
  EXPECT_TRUE(refused("mechanism", "cauchy"));
  EXPECT_TRUE(refused("noise_multiplier", "0.6"));
  EXPECT_TRUE(refused("noise_multiplier", -1));
  EXPECT_TRUE(refused("steps", 1.5));
  EXPECT_TRUE(refused("steps", 18446744073709551615ULL));
  EXPECT_TRUE(refused("neighbours", "any"));
  EXPECT_TRUE(refused("delta_slack", nullptr));
  EXPECT_TRUE(refused("extra", 1));
  EXPECT_TRUE(refused("sensitivity", 1));                  // a Gaussian has none
  EXPECT_TRUE(refused("mechanism", "discrete_gaussian"));  // and a discrete one is not without
  EXPECT_FALSE(EventFromJson(nlohmann::json::array()));
  EXPECT_FALSE(EventFromJson(nlohmann::json()));
}

TEST(PrivacyTypes, NamesRoundTrip) {
  for (const auto relation : {Neighbours::kAddOrRemoveOne, Neighbours::kAdd, Neighbours::kRemove,
                              Neighbours::kReplaceOne, Neighbours::kZeroOut}) {
    EXPECT_EQ(*ParseNeighbours(NeighboursName(relation)), relation);
  }
  EXPECT_EQ(*ParseUnit("user"), PrivacyUnit::kUser);
  EXPECT_EQ(UnitName(PrivacyUnit::kRecord), "record");
  EXPECT_FALSE(ParseUnit("household"));
  EXPECT_FALSE(ParseNeighbours(""));
}

}  // namespace
}  // namespace cloister::dp
