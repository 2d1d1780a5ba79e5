// Canaries and the attacker, on noise that is simulated here.
#include <gtest/gtest.h>

#include <cstdio>
#include <random>
#include <set>

#include "dp/accounting/rdp_accountant.h"
#include "dp/audit/canary_set.h"

namespace cloister::dp::audit {
namespace {

constexpr ClaimedMechanism kClaimed = {
    .noise_multiplier = 4, .sampling_rate = 0.5, .clip_norm = 0.1, .steps = 20};
constexpr std::int64_t kParameters = 4000;
constexpr double kDelta = 1e-5;

security::AesCtrStream Stream(std::uint8_t seed) {
  std::printf("seed %d\n", seed);
  security::SecretBytes key(32);
  key.mutable_bytes()[0] = seed;
  return security::AesCtrStream::FromKey(key);
}

CanarySet Canaries(std::uint8_t seed, std::int64_t count = 2000) {
  security::AesCtrStream random = Stream(seed);
  return CanarySet::Draw(count, kParameters, kClaimed, random).value();
}

TEST(Canaries, HaveCoordinatesOfTheirOwnAndFairCoins) {
  for (const std::int64_t count : {std::int64_t{2000}, kParameters}) {
    const CanarySet canaries = Canaries(1, count);
    std::set<std::int64_t> coordinates;
    double signs = 0;
    for (const Canary& canary : canaries.included()) {
      EXPECT_GE(canary.coordinate, 0);
      EXPECT_LT(canary.coordinate, kParameters);
      EXPECT_EQ(std::abs(canary.value), CanarySet::kOverlength * kClaimed.clip_norm);
      coordinates.insert(canary.coordinate);
      signs += canary.value > 0 ? 1 : -1;
    }
    const auto included = static_cast<double>(canaries.included().size());
    EXPECT_EQ(coordinates.size(), canaries.included().size());
    EXPECT_NEAR(included, static_cast<double>(count) / 2, 2.5 * std::sqrt(count));
    EXPECT_NEAR(signs, 0, 5 * std::sqrt(included));
  }
}

TEST(Canaries, AreRefusedWhereTheyDoNotFit) {
  security::AesCtrStream random = Stream(2);
  for (const std::int64_t count : {std::int64_t{-1}, CanarySet::kFewest - 1, kParameters + 1}) {
    const auto drawn = CanarySet::Draw(count, kParameters, kClaimed, random);
    ASSERT_FALSE(drawn);
    EXPECT_EQ(drawn.error().code, base::Code::kInvalidArgument);
    EXPECT_NE(drawn.error().message.find("10 to 4000 canaries"), std::string::npos);
  }
  const CanarySet canaries = Canaries(3);
  EXPECT_FALSE(canaries.Guess(CanarySet::Attack::kLikelihood, 0));
  EXPECT_FALSE(canaries.Guess(CanarySet::Attack::kLikelihood, 2001));
}

// What a run puts out: `noise_multiplier` as it really is, each step's noise new or the first's.
Verdict Attacked(std::uint8_t seed, double noise_multiplier, bool same_noise) {
  CanarySet canaries = Canaries(seed);
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal(0, noise_multiplier * kClaimed.clip_norm);
  std::bernoulli_distribution drawn(kClaimed.sampling_rate);
  std::vector<double> noise(kParameters);
  for (std::int64_t step = 0; step < kClaimed.steps; ++step) {
    if (step == 0 || !same_noise) {
      for (double& value : noise) value = noise_multiplier > 0 ? normal(random) : 0;
    }
    std::vector<double> sum = noise;
    for (const Canary& canary : canaries.included()) {
      if (drawn(random)) {
        sum[static_cast<std::size_t>(canary.coordinate)] +=
            std::copysign(kClaimed.clip_norm, canary.value);
      }
    }
    canaries.Observe(sum);
  }
  return Judge(canaries, kClaimed, 0, kDelta, 0.95).value();
}

double ClaimedEpsilon() {
  const Event event{kClaimed.noise_multiplier, kClaimed.sampling_rate, kClaimed.steps,
                    Neighbours::kAddOrRemoveOne};
  return RdpEpsilon({&event, 1}, kDelta).value();
}

TEST(Attacker, SeesLessThanTheEpsilonOfTheClaimedNoise) {
  for (std::uint8_t seed = 10; seed < 20; ++seed) {
    const Verdict verdict = Attacked(seed, kClaimed.noise_multiplier, false);
    EXPECT_LT(verdict.epsilon_lower, ClaimedEpsilon());
    EXPECT_GT(verdict.epsilon_lower, 0.1) << "an attacker who sees nothing proves nothing";
    EXPECT_GT(verdict.epsilon_most, ClaimedEpsilon());
  }
}

TEST(Attacker, SeesThatThereIsTooLittleNoise) {
  EXPECT_GT(Attacked(20, 0, false).epsilon_lower, ClaimedEpsilon());
  EXPECT_GT(Attacked(21, kClaimed.noise_multiplier / 8, false).epsilon_lower, ClaimedEpsilon());
}

TEST(Attacker, SeesThatTheNoiseIsAlwaysTheSame) {
  EXPECT_GT(Attacked(22, kClaimed.noise_multiplier, true).epsilon_lower, ClaimedEpsilon());
}

TEST(Attacker, IsTheSameForTheSameSeed) {
  EXPECT_EQ(Attacked(23, 4, false).epsilon_lower, Attacked(23, 4, false).epsilon_lower);
  EXPECT_NE(Attacked(23, 4, false).epsilon_lower, Attacked(24, 4, false).epsilon_lower);
}

TEST(Attacker, MakesTheGuessesThatAreAskedFor) {
  const CanarySet canaries = Canaries(25);
  const Verdict verdict = Judge(canaries, kClaimed, 77, kDelta, 0.95).value();
  EXPECT_EQ(verdict.seen.canaries, 2000);
  EXPECT_EQ(verdict.seen.guesses, 77);
  EXPECT_EQ(verdict.epsilon_lower, 0) << "nothing was seen";
}

}  // namespace
}  // namespace cloister::dp::audit
