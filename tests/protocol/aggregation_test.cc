// Masks, secret sharing and the word bound.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <string>

#include "federation/aggregation/mask.h"
#include "federation/aggregation/shamir.h"
#include "federation/aggregation/word_bound.h"
#include "security/random.h"

namespace cloister::federation::aggregation {
namespace {

TEST(Field, IsTheFieldOfAes) {
  EXPECT_EQ(FieldMultiply(0x57, 0x83), 0xc1);  // FIPS 197, section 4.2
  EXPECT_EQ(FieldMultiply(0x57, 0x13), 0xfe);  // FIPS 197, section 4.2.1
  EXPECT_EQ(FieldInverse(0), 0);
  for (int a = 1; a < 256; ++a) {
    const auto x = static_cast<std::uint8_t>(a);
    EXPECT_EQ(FieldMultiply(x, FieldInverse(x)), 1) << a;
    EXPECT_EQ(FieldMultiply(x, 1), x);
    EXPECT_EQ(FieldMultiply(x, 0), 0);
  }
}

TEST(Shamir, EveryThresholdSubsetRebuildsTheSecretAndNoSmallerOneDoes) {
  const std::vector<std::uint8_t> places = {1, 2, 5, 77, 200, 255};
  const security::SecretBytes secret = security::RandomSecret(32);
  for (std::uint32_t threshold = 1; threshold <= places.size(); ++threshold) {
    const auto shares = Split(secret, threshold, places);
    ASSERT_TRUE(shares.has_value());
    for (unsigned mask = 1; mask < 1U << places.size(); ++mask) {
      std::vector<ShamirShare> some;
      for (std::size_t i = 0; i < places.size(); ++i) {
        if (mask >> i & 1U) some.push_back({places[i], (*shares)[i].bytes.Clone()});
      }
      const auto rebuilt = Combine(some);
      ASSERT_TRUE(rebuilt.has_value());
      EXPECT_EQ(*rebuilt == secret, some.size() >= threshold) << threshold << " " << mask;
    }
  }
}

// One share below the threshold must fit every secret alike. Over one byte this can be counted: the
// shares at one place, for a fixed secret, run through all 256 values.
TEST(Shamir, FewerSharesSayNothing) {
  for (const std::uint8_t secret : {0x00, 0x5a}) {
    std::vector<int> counts(256, 0);
    const security::SecretBytes byte(std::vector<std::uint8_t>{secret});
    constexpr int kDraws = 256 * 40;
    const std::vector<std::uint8_t> places = {3, 9};
    for (int i = 0; i < kDraws; ++i) ++counts[(*Split(byte, 2, places))[1].bytes.bytes()[0]];
    double statistic = 0;
    for (const int count : counts) statistic += (count - 40.0) * (count - 40.0) / 40.0;
    EXPECT_LT(statistic, 255 + 8 * 22.6);
  }
  // The broken variant: with threshold one a share is the secret.
  const security::SecretBytes byte(std::vector<std::uint8_t>{0x5a});
  EXPECT_EQ((*Split(byte, 1, std::vector<std::uint8_t>{3}))[0].bytes, byte);
}

TEST(Shamir, BadCoordinatesAndThresholdsAreRefused) {
  using Places = std::vector<std::uint8_t>;
  const security::SecretBytes secret = security::RandomSecret(4);
  EXPECT_FALSE(Split(secret, 0, Places{1, 2}).has_value());
  EXPECT_FALSE(Split(secret, 3, Places{1, 2}).has_value());
  EXPECT_FALSE(Split(secret, 2, Places{1, 0}).has_value());
  EXPECT_FALSE(Split(secret, 2, Places{7, 7}).has_value());
  EXPECT_FALSE(Combine({}).has_value());
  std::vector<ShamirShare> shares;
  shares.push_back({1, security::RandomSecret(4)});
  shares.push_back({2, security::RandomSecret(5)});
  EXPECT_FALSE(Combine(shares).has_value());
  shares[1] = {1, security::RandomSecret(4)};
  EXPECT_FALSE(Combine(shares).has_value());
}

TEST(Mask, CancelsAndWrapsAndAnyStretchCanBeMadeAlone) {
  const security::SecretBytes key = security::RandomSecret(32);
  std::vector<std::uint32_t> words(10007);
  std::iota(words.begin(), words.end(), 0xfffff000U);
  const std::vector<std::uint32_t> plain = words;
  ApplyMask(words, key, MaskSign::kAdd);
  EXPECT_NE(words, plain);
  std::vector<std::uint32_t> stretch(plain.begin() + 4001, plain.begin() + 9333);
  ApplyMask(stretch, key, MaskSign::kAdd, 4001);
  EXPECT_TRUE(std::equal(stretch.begin(), stretch.end(), words.begin() + 4001));
  ApplyMask(words, key, MaskSign::kSubtract);
  EXPECT_EQ(words, plain);
  std::vector<std::uint32_t> none;
  ApplyMask(none, key, MaskSign::kAdd);
}

TEST(Mask, IsTheStreamsBytesInLittleEndianWords) {
  const security::SecretBytes key = security::RandomSecret(32);
  std::vector<std::uint8_t> bytes(8);
  security::AesCtrStream::FromKey(key).Fill(bytes);
  std::vector<std::uint32_t> words(2, 0);
  ApplyMask(words, key, MaskSign::kAdd);
  for (int i = 0; i < 8; ++i) EXPECT_EQ((words[i / 4] >> (8 * (i % 4))) & 255U, bytes[i]);
}

TEST(Mask, WordsAreCentred) {
  EXPECT_EQ(Centred(std::vector<std::uint32_t>{0, 1, 0x7fffffff, 0x80000000, 0xffffffff}),
            (std::vector<std::int64_t>{0, 1, 2147483647, -2147483648LL, -1}));
  std::vector<std::uint32_t> words = {0xffffffff, 5};
  AddWords(words, std::vector<std::uint32_t>{2, 0xfffffff0});
  EXPECT_EQ(Centred(words), (std::vector<std::int64_t>{1, -11}));
}

WordBoundInput Input() {
  WordBoundInput input;
  input.sites = 4;
  input.units_cap = 1000;
  input.clip_norm = 0.1;
  input.spacing = 0.1 / 16384;
  input.noise_sigma = 5000;
  input.words = 20000;
  input.rounds = 10;
  input.failure_probability = 1e-9;
  return input;
}

TEST(WordBound, AddsSignalAndNoise) {
  const auto bound = CheckWordBound(Input());
  ASSERT_TRUE(bound.has_value()) << bound.error().message;
  EXPECT_NEAR(bound->signal, 1000.0 * 16384 + 1, 1e-3);
  EXPECT_NEAR(bound->deviations, std::sqrt(2 * std::log(2.0 * 20000 * 10 / 1e-9)), 1e-9);
  EXPECT_NEAR(bound->noise, bound->deviations * 2 * 5000 + 2, 1e-6);
  EXPECT_NEAR(bound->total, 4 * bound->signal + bound->noise, 1e-3);
}

// A job's bound counts on what its sites cut their sums to.
TEST(WordBound, CountsASiteAsTheCoordinateThatItCutsTo) {
  for (const std::int64_t cap : {1, 7, 1000, 32750}) {
    for (const double spacing : {0.1 / 16384, 0.0007, 0.3}) {
      WordBoundInput input = Input();
      input.units_cap = cap;
      input.spacing = spacing;
      const auto largest = static_cast<double>(LargestCoordinate(cap, 0.1, spacing));
      EXPECT_EQ(CheckWordBound(input).value().signal, largest);
      const double most = static_cast<double>(cap) * 0.1 / spacing;
      EXPECT_TRUE(largest > most && largest <= most + 1) << cap << " " << spacing;
    }
  }
}

// The worker asks it of what a daemon sent, before anything else looks at that.
TEST(LargestCoordinate, IsAWholeNumberOfWhateverIsGiven) {
  EXPECT_EQ(LargestCoordinate(1000, 0.1, 0.1 / 16384), 16384001);
  EXPECT_EQ(LargestCoordinate(1, 1e-300, 1), 1);
  EXPECT_EQ(LargestCoordinate(-5, 1, 0.1), 1);
  EXPECT_EQ(LargestCoordinate(1, 1e300, 1e-300), std::int64_t{1} << 60);
  EXPECT_EQ(LargestCoordinate(0, 0, 0), std::int64_t{1} << 60);
}

TEST(WordBound, RefusesAJobWhoseSumMayWrapAndGivesTheFigures) {
  WordBoundInput input = Input();
  input.units_cap = 32768;  // 4 * 32768 * 16384 = 2^31
  const auto refused = CheckWordBound(input);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, base::Code::kInvalidArgument);
  EXPECT_NE(refused.error().message.find("4 sites x (32768 units"), std::string::npos);
  input.units_cap = 32750;
  EXPECT_TRUE(CheckWordBound(input).has_value());
  input.noise_sigma = 1e6;  // fits without the noise, not with it
  EXPECT_FALSE(CheckWordBound(input).has_value());
  input = Input();
  input.clip_norm = 1e300;
  EXPECT_FALSE(CheckWordBound(input).has_value());
}

TEST(WordBound, RefusesInputsOutOfRange) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  const auto refused = [](const auto& change) {
    WordBoundInput input = Input();
    change(input);
    return !CheckWordBound(input).has_value();
  };
  EXPECT_TRUE(refused([](auto& i) { i.sites = 0; }));
  EXPECT_TRUE(refused([](auto& i) { i.units_cap = 0; }));
  EXPECT_TRUE(refused([](auto& i) { i.words = 0; }));
  EXPECT_TRUE(refused([](auto& i) { i.rounds = -1; }));
  EXPECT_TRUE(refused([=](auto& i) { i.clip_norm = nan; }));
  EXPECT_TRUE(refused([=](auto& i) { i.spacing = infinity; }));
  EXPECT_TRUE(refused([](auto& i) { i.spacing = 0; }));
  EXPECT_TRUE(refused([=](auto& i) { i.noise_sigma = nan; }));
  EXPECT_TRUE(refused([](auto& i) { i.noise_sigma = -1; }));
  EXPECT_TRUE(refused([](auto& i) { i.failure_probability = 0; }));
  EXPECT_TRUE(refused([](auto& i) { i.failure_probability = 1; }));
}

}  // namespace
}  // namespace cloister::federation::aggregation
