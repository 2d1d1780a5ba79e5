#include <cstdlib>
#include <optional>
#include <string>

#include "dp/accounting/rdp_accountant.h"
#include "dp/ledger/rdp_filter.h"
#include "dp/ledger/refusal.h"
#include "tests/dp/ledger_fixture.h"

namespace cloister::dp {
namespace {

// The number that follows `words` in `text`.
std::optional<double> NumberAfter(const std::string& text, const std::string& words) {
  const std::size_t at = text.find(words);
  if (at == std::string::npos) return std::nullopt;
  return std::strtod(text.c_str() + at + words.size(), nullptr);
}

constexpr char kSteps[] = "take at most ";
constexpr char kNoise[] = "a noise multiplier of at least ";
constexpr char kLeft[] = "of which ";

class LedgerRefusalTest : public LedgerTest {
 protected:
  std::string Refusal(Ledger& ledger, const std::string& id, const Event& event) {
    const base::Status refused = ledger.CheckAffordable(id, event);
    EXPECT_FALSE(refused);
    if (refused) return {};
    EXPECT_EQ(refused.error().code, base::Code::kResourceExhausted);
    EXPECT_EQ(refused.error().message.find('\n'), std::string::npos);
    return refused.error().message;
  }
};

// A person who does what the error says is let in, and what is a hair more is not.
TEST_F(LedgerRefusalTest, WhatItSaysWouldFitFitsAndNotAHairMore) {
  const auto ledger = Open();
  int set = 0;
  for (const Event& spent : {SpendOf(0, 2, 30, 0.2).event, SpendOf(0, 30, 1, 1).event}) {
    for (const Event& planned :
         {SpendOf(0, 0.8, 300, 0.2).event, SpendOf(0, 1.1, 100000, 0.01).event,
          SpendOf(0, 5, 1000, 1).event}) {
      const std::string id = Register(*ledger, Units(10 * set, 10 * set + 10));
      ++set;
      for (const bool first : {true, false}) {
        if (!first) {
          ASSERT_TRUE(ledger->Debit(id, {{"earlier", set, 0}, spent, std::nullopt}));
        }
        const std::string text = Refusal(*ledger, id, planned);
        const auto steps = NumberAfter(text, kSteps);
        const auto noise = NumberAfter(text, kNoise);
        ASSERT_TRUE(steps && noise) << text;
        const auto fits = [&](double multiplier, double count) {
          Event event = planned;
          event.noise_multiplier = multiplier;
          event.steps = static_cast<std::int64_t>(count);
          return ledger->CheckAffordable(id, event).has_value();
        };
        EXPECT_TRUE(fits(planned.noise_multiplier, *steps)) << text;
        EXPECT_FALSE(fits(planned.noise_multiplier, *steps + 1)) << text;
        EXPECT_TRUE(fits(*noise, static_cast<double>(planned.steps))) << text;
        EXPECT_FALSE(fits(*noise * (1 - 2e-3), static_cast<double>(planned.steps))) << text;
        EXPECT_LT(*steps, planned.steps);
        EXPECT_GT(*noise, planned.noise_multiplier);
      }
    }
  }
}

TEST_F(LedgerRefusalTest, SaysHowMuchIsLeft) {
  const auto ledger = Open();
  const std::string id = Register(*ledger, Units(0, 10));
  const Event planned = SpendOf(0, 0.8, 300, 0.2).event;
  EXPECT_EQ(NumberAfter(Refusal(*ledger, id, planned), kLeft), 8.0);
  ASSERT_TRUE(ledger->Debit(id, SpendOf(1, 2, 30, 0.2)));
  const double left = 8 - ledger->Spent(id)->epsilon;
  const auto said = NumberAfter(Refusal(*ledger, id, planned), kLeft);
  ASSERT_TRUE(said);
  EXPECT_LE(*said, left);
  EXPECT_GT(*said, left - 2e-3);
}

// The figure is above what `privacy epsilon` prints of the same plan, and says so.
TEST_F(LedgerRefusalTest, SaysWhoseFigureItIs) {
  const auto ledger = Open();
  const std::string id = Register(*ledger, Units(0, 10));
  const Event planned = SpendOf(0, 0.8, 300, 0.2).event;
  const std::string text = Refusal(*ledger, id, planned);
  const auto figure = NumberAfter(text, "come to epsilon ");
  ASSERT_TRUE(figure) << text;
  EXPECT_GT(*figure, EpsilonOfPlan(planned, kBudget.delta));
  EXPECT_NE(text.find("by the budget's count (a filter's"), std::string::npos) << text;
  EXPECT_NE(text.find("above what `cloister privacy epsilon` prints"), std::string::npos) << text;
}

TEST_F(LedgerRefusalTest, AFullLedgerOffersNoStep) {
  const auto ledger = Open();
  const std::string id = Register(*ledger, Units(0, 10));
  const std::int64_t affordable = Affordable(0.8, 0.2);
  ASSERT_TRUE(ledger->Debit(id, SpendOf(1, 0.8, affordable, 0.2)));
  const std::string text = Refusal(*ledger, id, SpendOf(0, 0.8, 10, 0.2).event);
  EXPECT_FALSE(NumberAfter(text, kSteps)) << text;
  EXPECT_NE(text.find("not one step fits, take a noise multiplier"), std::string::npos) << text;
  // One release has no fewer steps to take.
  const std::string one = Refusal(*ledger, id, SpendOf(0, 0.8, 1, 0.2).event);
  EXPECT_EQ(one.find("for all"), std::string::npos) << one;
}

// More noise does not mend a sampler whose error bound is the trouble.
TEST_F(LedgerRefusalTest, OffersNoNoiseWhereNoneHelps) {
  const auto ledger = Open();
  const std::string id = Register(*ledger, Units(0, 10));
  Event event = SpendOf(0, 2, 1).event;
  event.delta_slack = 1e-6;
  const std::string text = Refusal(*ledger, id, event);
  EXPECT_FALSE(NumberAfter(text, kNoise)) << text;
  EXPECT_NE(text.find("nothing of it fits"), std::string::npos) << text;
  // Of many steps a part has its part of the error.
  event.delta_slack = 1e-12;
  event.steps = 1'000'000;
  event.noise_multiplier = 1000;
  event.sampling_rate = 1e-4;
  const Fit fit = WhatFits({}, event, {}, kBudget);
  EXPECT_GT(fit.steps, 0);
  EXPECT_LT(fit.steps, 1'000'000);
  EXPECT_FALSE(fit.noise_multiplier);
}

TEST_F(LedgerRefusalTest, WhatFitsAsItIsStaysAsItIs) {
  const Event event = SpendOf(0, 2, 30, 0.2).event;
  const Fit fit = WhatFits({}, event, {}, kBudget);
  EXPECT_EQ(fit.steps, 30);
  EXPECT_EQ(fit.noise_multiplier, 2);
  EXPECT_EQ(fit.epsilon_left, 8);
}

TEST_F(LedgerRefusalTest, ARefusedDebitSaysTheSame) {
  const auto ledger = Open();
  const std::string id = Register(*ledger, Units(0, 10));
  const Spend spend = SpendOf(1, 0.8, 300, 0.2);
  EXPECT_EQ(ledger->Debit(id, spend).error().message, Refusal(*ledger, id, spend.event));
  EXPECT_TRUE(ledger->Rows()->empty());
}

}  // namespace
}  // namespace cloister::dp
