#include "federation/aggregation/strategy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace cloister::federation::aggregation {
namespace {

AdamWOptions Options() { return {4e-3, 0.9, 0.95, 1e-8, 0.1}; }

const std::vector<std::vector<double>> kGradients = {
    {0.1, -2.0, 0.0, 1e-6}, {-0.3, 1.0, 5.0, -1e-3}, {0.02, 0.0, -4.0, 2.5}};

// From Algorithm 2 of the paper, evaluated in decimal arithmetic of 40 digits.
const std::vector<std::vector<double>> kExpected = {
    {0.4958000004, -1.24550000002, 2.9988, -0.0039603960396},
    {0.497558863383, -1.24392832223, 2.99466064, -0.00102166013822},
    {0.498727253469, -1.24259022017, 2.99326507652, -0.00351324699661}};

TEST(FedSgd, FollowsAdamW) {
  auto strategy = FedSgd::Create(Options(), 4);
  ASSERT_TRUE(strategy.has_value());
  std::vector<float> parameters = {0.5F, -1.25F, 3.0F, 0.0F};
  for (std::size_t step = 0; step < kGradients.size(); ++step) {
    const auto next = strategy->Step(parameters, kGradients[step]);
    ASSERT_TRUE(next.has_value()) << next.error().message;
    parameters = *next;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      EXPECT_NEAR(parameters[i], kExpected[step][i], 4e-7) << "step " << step << ", " << i;
    }
  }
  EXPECT_EQ(strategy->steps(), 3U);
}

TEST(FedSgd, AStateThatWasStoredGoesOnExactly) {
  auto strategy = *FedSgd::Create(Options(), 4);
  std::vector<float> parameters = {0.5F, -1.25F, 3.0F, 0.0F};
  parameters = *strategy.Step(parameters, kGradients[0]);
  const std::vector<std::uint8_t> stored = strategy.Serialize();
  auto restored = FedSgd::Deserialize(Options(), 4, stored);
  ASSERT_TRUE(restored.has_value()) << restored.error().message;
  EXPECT_EQ(*restored->Step(parameters, kGradients[1]), *strategy.Step(parameters, kGradients[1]));
  EXPECT_EQ(restored->Serialize(), strategy.Serialize());
  EXPECT_NE(stored, strategy.Serialize());
}

TEST(FedSgd, ADamagedStateIsRefused) {
  const std::vector<std::uint8_t> stored = FedSgd::Create(Options(), 2)->Serialize();
  for (std::size_t size = 0; size < stored.size(); ++size) {
    EXPECT_FALSE(FedSgd::Deserialize(Options(), 2, std::span(stored).first(size)).has_value());
  }
  EXPECT_FALSE(FedSgd::Deserialize(Options(), 3, stored).has_value());
  EXPECT_FALSE(
      FedSgd::Deserialize(Options(), std::numeric_limits<std::size_t>::max(), stored).has_value());
  std::vector<std::uint8_t> changed = stored;
  changed[0] ^= 1;
  EXPECT_FALSE(FedSgd::Deserialize(Options(), 2, changed).has_value());
  changed = stored;
  changed[stored.size() - 1] = 0xbf;  // a negative second moment
  EXPECT_FALSE(FedSgd::Deserialize(Options(), 2, changed).has_value());
  changed[stored.size() - 1] = 0x7f;
  changed[stored.size() - 2] = 0xf0;  // infinity
  EXPECT_FALSE(FedSgd::Deserialize(Options(), 2, changed).has_value());
}

TEST(FedSgd, AGradientThatIsNotFiniteLeavesTheStateAsItWas) {
  auto strategy = *FedSgd::Create(Options(), 2);
  const std::vector<float> parameters = {1.0F, 2.0F};
  const std::vector<std::uint8_t> before = strategy.Serialize();
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), 1e200}) {
    const auto refused = strategy.Step(parameters, std::vector<double>{0.5, bad});
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, base::Code::kOutOfRange);
    EXPECT_EQ(strategy.Serialize(), before);
  }
  EXPECT_FALSE(strategy.Step(parameters, std::vector<double>{0.5}).has_value());
}

TEST(FedSgd, OptionsOutOfRangeAreRefused) {
  const auto refused = [](const auto& change) {
    AdamWOptions options = Options();
    change(options);
    return !FedSgd::Create(options, 1).has_value();
  };
  EXPECT_FALSE(refused([](AdamWOptions&) {}));
  EXPECT_TRUE(refused([](AdamWOptions& o) { o.learning_rate = 0; }));
  EXPECT_TRUE(refused([](AdamWOptions& o) { o.learning_rate = std::nan(""); }));
  EXPECT_TRUE(refused([](AdamWOptions& o) { o.beta1 = 1; }));
  EXPECT_TRUE(refused([](AdamWOptions& o) { o.beta2 = -0.1; }));
  EXPECT_TRUE(refused([](AdamWOptions& o) { o.epsilon = 0; }));
  EXPECT_TRUE(refused([](AdamWOptions& o) { o.weight_decay = -1; }));
}

TEST(MeanGradient, DividesByTheNominalFigure) {
  const auto mean = MeanGradient(std::vector<std::int64_t>{96, -192, 0}, 0.5, 96);
  ASSERT_TRUE(mean.has_value());
  EXPECT_EQ(*mean, (std::vector<double>{0.5, -1.0, 0.0}));
  EXPECT_FALSE(MeanGradient(std::vector<std::int64_t>{1}, 0, 96).has_value());
  EXPECT_FALSE(MeanGradient(std::vector<std::int64_t>{1}, 0.5, 0).has_value());
  EXPECT_FALSE(MeanGradient(std::vector<std::int64_t>{1}, 0.5, std::nan("")).has_value());
}

}  // namespace
}  // namespace cloister::federation::aggregation
