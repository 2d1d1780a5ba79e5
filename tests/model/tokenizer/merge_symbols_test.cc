#include "model/tokenizer/merge_symbols.h"

#include <gtest/gtest.h>

#include <array>
#include <random>

namespace cloister::model {
namespace {

using Ids = std::vector<TokenId>;

// The quadratic definition: find the best pair, merge it, look again.
Ids SlowMerge(Ids ids, const std::vector<std::array<TokenId, 3>>& rules) {
  while (true) {
    std::size_t best_rule = rules.size(), best_at = 0;
    for (std::size_t at = 0; at + 1 < ids.size(); ++at) {
      for (std::size_t rule = 0; rule < best_rule; ++rule) {
        if (ids[at] == rules[rule][0] && ids[at + 1] == rules[rule][1]) {
          best_rule = rule;
          best_at = at;
        }
      }
    }
    if (best_rule == rules.size()) return ids;
    ids[best_at] = rules[best_rule][2];
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best_at) + 1);
  }
}

// Short rows are searched, long ones go through a heap: both do the same.
TEST(MergeSymbols, EqualsTheSlowDefinitionOnRandomRules) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  int merged = 0;
  for (int trial = 0; trial < 600; ++trial) {
    std::vector<std::array<TokenId, 3>> list;
    MergeRules rules(12);
    for (TokenId next = 3; next < 15; ++next) {
      const auto pick = [&] {
        return static_cast<TokenId>(random() % static_cast<unsigned>(next));
      };
      const TokenId left = pick(), right = pick();
      if (rules.Find(left, right) != nullptr) continue;
      rules.Add(left, right, {static_cast<std::uint32_t>(list.size()), next});
      list.push_back({left, right, next});
    }
    Ids ids(random() % 120);
    for (TokenId& id : ids) id = static_cast<TokenId>(random() % 3);
    Ids made = ids;
    MergeSymbols(
        made, [&](TokenId left, TokenId right) { return rules.Find(left, right); },
        [](TokenId, TokenId, const MergeRule& rule) { return rule.result; });
    ASSERT_EQ(made, SlowMerge(ids, list));
    merged += made != ids ? 1 : 0;
  }
  EXPECT_GT(merged, 100);
}

TEST(MergeRules, TheLastRuleOfAPairCountsAndOthersHaveNone) {
  MergeRules rules(2);
  rules.Add(1, 2, {0, 3});
  rules.Add(1, 2, {1, 4});
  ASSERT_NE(rules.Find(1, 2), nullptr);
  EXPECT_EQ(rules.Find(1, 2)->result, 4);
  EXPECT_EQ(rules.Find(2, 1), nullptr);
  EXPECT_EQ(MergeRules(0).Find(0, 0), nullptr);
}

}  // namespace
}  // namespace cloister::model
