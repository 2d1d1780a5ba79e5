// Parameters of which each rank has a part: what passes see of them, when, and what becomes of
// their gradients and of an error.
#include "trainer/distributed/sharded_parameters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/trainer/rank_threads.h"
#include "trainer/guarded.h"

namespace cloister::trainer {
namespace {

using Kind = ShardedParameters::Kind;
using testing::HasSubstr;

constexpr std::int64_t kLayers = 3;
constexpr std::size_t kSize = 2000;
const ShardedParameters::Parts kParts{.outside = {0, 300},
                                      .layers = {{300, 900}, {900, 1500}, {1500, kSize}}};

float ValueAt(std::size_t i) { return static_cast<float>(i + 1); }

// As a rank has them: its own numbers, others' unset.
class OfRank {
 public:
  explicit OfRank(Ranks& ranks)
      : ranks_(ranks),
        memory_(std::make_shared<base::PagedMemory>(kSize * sizeof(float))),
        sharded(ranks, memory_, kParts, [this](std::int64_t layer, bool here) {
          if (here) came.push_back(layer);
        }) {
    const Range own = ranks.Shard(kSize);
    for (std::size_t i = own.begin; i < own.end; ++i) values()[i] = ValueAt(i);
  }

  std::span<float> values() { return memory_->As<float>(); }
  bool Has(const Range& part) {
    for (std::size_t i = part.begin; i < part.end; ++i) {
      if (values()[i] != ValueAt(i)) return false;
    }
    return true;
  }
  // None of it but what is its own.
  bool HasNot(const Range& part) {
    const Range own = ranks_.Shard(kSize);
    for (std::size_t i = part.begin; i < part.end; ++i) {
      if ((i < own.begin || i >= own.end) && values()[i] != 0) return false;
    }
    return true;
  }
  // A pass, which finds nothing but what it is to find.
  void Pass(Kind kind, float gradient = 0) {
    const auto enter = [&](std::int64_t layer) {
      sharded.Enter(layer);
      EXPECT_TRUE(Has(kParts.outside));
      for (std::int64_t other = 0; other < kLayers; ++other) {
        const Range& part = kParts.layers[static_cast<std::size_t>(other)];
        EXPECT_TRUE(other == layer ? Has(part) : HasNot(part)) << layer << " " << other;
      }
    };
    for (std::int64_t layer = 0; layer < kLayers; ++layer) enter(layer);
    if (kind == Kind::kForward) return;
    for (std::int64_t layer = kLayers - 1; layer >= 0; --layer) {
      enter(layer);
      if (kind == Kind::kSummed) Add(kParts.layers[static_cast<std::size_t>(layer)], gradient);
    }
    if (kind == Kind::kSummed) Add(kParts.outside, gradient);
  }
  void Add(const Range& part, float gradient) {
    for (std::size_t i = part.begin; i < part.end; ++i) {
      sharded.sums()[i] += gradient * static_cast<float>(i % 7);
    }
  }

 private:
  Ranks& ranks_;
  std::shared_ptr<base::PagedMemory> memory_;

 public:
  ShardedParameters sharded;
  std::vector<std::int64_t> came;
};

TEST(ShardedParameters, ALayerIsThereWhileItIsUsedAndNoLonger) {
  for (const std::int64_t size : {1, 2, 3}) {
    OnRanks(size, [](Ranks& ranks) {
      OfRank own(ranks);
      for (const Kind kind : {Kind::kForward, Kind::kObserved}) {
        own.came.clear();
        ASSERT_TRUE(own.sharded.Run({.kind = kind, .own = 2}, [&]() -> base::Status {
          for (int pass = 0; pass < 2; ++pass) own.Pass(kind);
          return {};
        }));
        // The one that is there stays where the next one is the same.
        EXPECT_EQ(own.came, kind == Kind::kForward
                                ? std::vector<std::int64_t>({-1, 0, 1, 2, 0, 1, 2})
                                : std::vector<std::int64_t>({-1, 0, 1, 2, 1, 0, 1, 2, 1, 0}));
        EXPECT_TRUE(own.Has(ranks.Shard(kSize)));
        if (ranks.size() > 1) {
          EXPECT_TRUE(own.HasNot({0, kSize}));
        }
      }
    });
  }
}

// Of three ranks one has no pass, and one has more than the others.
TEST(ShardedParameters, RanksOfUnequalWorkAddUpWhatTheyHave) {
  OnRanks(3, [](Ranks& ranks) {
    OfRank own(ranks);
    const std::int64_t passes = 2 * ranks.rank();  // 0, 2, 4
    for (int run = 0; run < 2; ++run) {            // each begins anew
      ASSERT_TRUE(own.sharded.Run({.kind = Kind::kSummed, .own = passes}, [&]() -> base::Status {
        for (std::int64_t pass = 0; pass < passes; ++pass) {
          own.Pass(Kind::kSummed, static_cast<float>(ranks.rank()));
        }
        return {};
      }));
      const Range shard = ranks.Shard(kSize);
      ASSERT_EQ(own.sharded.gradient().size(), shard.size());
      for (std::size_t i = 0; i < shard.size(); ++i) {
        ASSERT_EQ(own.sharded.gradient()[i],
                  static_cast<float>((2 * 1 + 4 * 2) * ((shard.begin + i) % 7)));
      }
      EXPECT_TRUE(std::all_of(own.sharded.sums().begin(), own.sharded.sums().end(),
                              [](float sum) { return sum == 0; }));
    }
  });
}

TEST(ShardedParameters, NobodysPassesNeedNothing) {
  OnRanks(2, [](Ranks& ranks) {
    OfRank own(ranks);
    ASSERT_TRUE(own.sharded.Run({.kind = Kind::kSummed}, []() -> base::Status { return {}; }));
    EXPECT_TRUE(own.came.empty());
    EXPECT_EQ(own.sharded.gradient().size(), ranks.Shard(kSize).size());
  });
}

// Lanes of one rank go through the layers together, each as far as it has passes.
TEST(ShardedParameters, LanesEnterALayerTogether) {
  OnRanks(2, [](Ranks& ranks) {
    OfRank own(ranks);
    const std::vector<int> passes =
        ranks.first() ? std::vector<int>({3, 1, 2}) : std::vector<int>({1, 1});
    const auto longest = *std::max_element(passes.begin(), passes.end());
    for (int run = 0; run < 4; ++run) {
      ASSERT_TRUE(
          own.sharded.Run({.kind = Kind::kObserved, .own = longest, .lanes = std::ssize(passes)},
                          [&]() -> base::Status {
                            std::vector<std::thread> lanes;
                            for (const int count : passes) {
                              lanes.emplace_back([&own, count] {
                                for (int i = 0; i < count; ++i) own.Pass(Kind::kObserved);
                                own.sharded.Leave({});
                              });
                            }
                            for (std::thread& lane : lanes) lane.join();
                            return {};
                          }));
    }
  });
}

// In the middle of a pass, and after the last layer of the last: the others have more to do.
TEST(ShardedParameters, WhatStopsOneRankStopsAll) {
  for (const std::int64_t layers_done : {0, 2, 4, 6}) {
    OnRanks(3, [layers_done](Ranks& ranks) {
      OfRank own(ranks);
      const base::Status ended = own.sharded.Run(
          {.kind = Kind::kSummed, .own = ranks.rank() == 1 ? 1 : 2}, [&]() -> base::Status {
            if (ranks.rank() != 1) {
              return Guarded("passing", [&]() -> base::Status {
                for (int pass = 0; pass < 2; ++pass) own.Pass(Kind::kSummed, 1);
                return {};
              });
            }
            for (std::int64_t i = 0; i < layers_done; ++i) {
              own.sharded.Enter(i < kLayers ? i : 2 * kLayers - 1 - i);
            }
            return base::Fail(base::Code::kCancelled, "enough");
          });
      ASSERT_FALSE(ended);
      EXPECT_EQ(ended.error().code, base::Code::kCancelled);
      EXPECT_THAT(ended.error().message, HasSubstr("enough"));
      // They are in step still.
      EXPECT_TRUE(own.sharded.Run({.kind = Kind::kForward, .own = 1}, [&]() -> base::Status {
        own.Pass(Kind::kForward);
        return {};
      }));
    });
  }
}

// A lane that ends with an error while the others wait for it.
TEST(ShardedParameters, WhatStopsOneLaneStopsAll) {
  OnRanks(2, [](Ranks& ranks) {
    OfRank own(ranks);
    const base::Status ended =
        own.sharded.Run({.kind = Kind::kObserved, .own = 5, .lanes = 2}, [&]() -> base::Status {
          const auto lane = [&own, &ranks](bool fails) {
            base::Status status;
            try {
              for (int pass = 0; pass < 5; ++pass) {
                if (fails && pass == 2 && ranks.rank() == 1) {
                  status = base::Fail(base::Code::kInternal, "no memory");
                  break;
                }
                own.Pass(Kind::kObserved);
              }
            } catch (const std::exception&) {
              status = base::Fail(base::Code::kInternal, "ended from outside");
            }
            own.sharded.Leave(status);
          };
          std::thread other([&lane] { lane(false); });
          lane(true);
          other.join();
          return {};
        });
    ASSERT_FALSE(ended);
    EXPECT_THAT(ended.error().message, HasSubstr("no memory"));
  });
}

}  // namespace
}  // namespace cloister::trainer
