// Units side by side on threads: errors, ends before time, and what is left of either.
#include "trainer/unit_workers.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/clipping/torch.h"

namespace cloister::trainer {
namespace {

using dp::clipping::BookKeeping;
using dp::clipping::GradientObserver;
using Chosen = std::span<const std::size_t>;

// Counts the threads that ran under it, each at its end.
std::atomic<int> ended_threads = 0;
struct TellsItsEnd {
  ~TellsItsEnd() { ++ended_threads; }
};
void TellMyEnd() { thread_local const TellsItsEnd here; }

// An example of so many tokens, all but the first of which are an answer.
Example Answered(std::int64_t tokens) {
  Example example{std::vector<model::TokenId>(static_cast<std::size_t>(tokens)),
                  std::vector<std::uint8_t>(static_cast<std::size_t>(tokens), 1)};
  example.answer[0] = 0;
  return example;
}
Example WithoutAnswer(std::int64_t tokens) {
  Example example = Answered(tokens);
  std::fill(example.answer.begin(), example.answer.end(), 0);
  return example;
}

// Lets everybody in: the pass that is measured alone is done.
class OpenGate : public MemoryGate {
 public:
  OpenGate()
      : MemoryGate({.available = [] { return std::nullopt; },
                    .begin = [] {},
                    .end = [] { return std::nullopt; }}) {
    const MemoryGatePass first(*this, 1);
  }
};

class UnitWorkers : public testing::Test {
 protected:
  void SetUp() override { at::set_num_threads(2); }
  void TearDown() override {
    EXPECT_EQ(at::get_num_threads(), 2) << "as it was before, whatever happened";
    at::set_num_threads(1);
  }

  static BookKeeping Sum(dp::PrivacyUnit unit = dp::PrivacyUnit::kRecord,
                         std::int64_t parameters = 4) {
    return BookKeeping::Create({{.rows = parameters}},
                               {.rule = {.clip_norms = {1e3}},
                                .unit = unit,
                                .neighbours = dp::Neighbours::kAddOrRemoveOne})
        .value();
  }
  // Of an example with n tokens: loss n, gradient (n, n, …).
  static at::Tensor LossOf(const UnitExamples& unit, std::span<const std::size_t> chosen,
                           GradientObserver& observer, std::int64_t parameters = 4) {
    std::vector<float> losses;
    for (const std::size_t i : chosen) losses.push_back(static_cast<float>(unit[i].tokens()));
    const at::Tensor values = at::tensor(losses, at::TensorOptions(at::kFloat));
    observer.ObserveVector(0, values.unsqueeze(1).expand({-1, parameters}).contiguous());
    return values.requires_grad_();
  }
  static base::Result<double> Add(const std::vector<UnitExamples>& units, std::int64_t threads,
                                  MemoryGate& gate, BookKeeping& sum,
                                  const WorkProgress& progress = {}) {
    return AddUnits(
        units, threads, gate,
        [](const UnitExamples& unit, Chosen chosen, GradientObserver& told) {
          return LossOf(unit, chosen, told);
        },
        progress, sum);
  }
  static double ValueOf(BookKeeping sum) {
    return dp::clipping::Values(std::move(sum).Finish())[0].item<double>();
  }
};

TEST_F(UnitWorkers, AddEveryUnitOnceOnAnyNumberOfThreads) {
  const std::vector<UnitExamples> units = {{Answered(2)}, {Answered(7)}, {Answered(3)}};
  for (const std::int64_t threads : {1, 2, 3, 16}) {  // more than there are units
    OpenGate gate;
    BookKeeping sum = Sum();
    std::atomic<std::int64_t> told = 0;
    const auto loss = Add(units, threads, gate, sum, [&](std::int64_t examples) {
      told = std::max(told.load(), examples);
      return true;
    });
    ASSERT_TRUE(loss) << loss.error().message;
    EXPECT_EQ(*loss, 4);
    EXPECT_EQ(told, 3);
    EXPECT_NEAR(ValueOf(std::move(sum)), 12, 1e-3);
  }
}

TEST_F(UnitWorkers, StartNoMoreThreadsThanThereAreUnits) {
  std::mutex mutex;
  std::set<std::thread::id> ran;
  OpenGate gate;
  BookKeeping sum = Sum();
  const std::vector<UnitExamples> units(2, UnitExamples{Answered(3)});
  std::atomic<int> waiting = 0;
  ended_threads = 0;
  const auto loss = AddUnits(
      units, 16, gate,
      [&](const UnitExamples& unit, Chosen chosen, GradientObserver& told) {
        TellMyEnd();
        // Both at once.
        ++waiting;
        while (waiting < 2) std::this_thread::yield();
        const std::lock_guard lock(mutex);
        ran.insert(std::this_thread::get_id());
        return LossOf(unit, chosen, told);
      },
      {}, sum);
  EXPECT_TRUE(loss);
  EXPECT_EQ(ran.size(), 2U);
  EXPECT_EQ(ended_threads, 1) << "all but the caller's";
}

TEST_F(UnitWorkers, NoUnitsAreASumOfNone) {
  for (const std::int64_t threads : {1, 4}) {
    OpenGate gate;
    BookKeeping sum = Sum();
    const auto loss = Add({}, threads, gate, sum);
    ASSERT_TRUE(loss) << loss.error().message;
    EXPECT_TRUE(std::isnan(*loss));
    EXPECT_EQ(ValueOf(std::move(sum)), 0);
  }
}

TEST_F(UnitWorkers, ExamplesWithoutAnAnswerAreLeftOut) {
  for (const std::int64_t threads : {1, 3}) {
    OpenGate gate;
    BookKeeping alone = Sum(dp::PrivacyUnit::kUser);
    const auto none =
        Add({{WithoutAnswer(9)}, {}, {WithoutAnswer(1), WithoutAnswer(2)}}, threads, gate, alone);
    ASSERT_TRUE(none);
    EXPECT_TRUE(std::isnan(*none));
    EXPECT_EQ(ValueOf(std::move(alone)), 0);
    BookKeeping mixed = Sum(dp::PrivacyUnit::kUser);
    const auto some = Add({{WithoutAnswer(9)},
                           {WithoutAnswer(1), Answered(3), WithoutAnswer(4), Answered(6)},
                           {Answered(3)}},
                          threads, gate, mixed);
    ASSERT_TRUE(some);
    EXPECT_EQ(*some, 4);
    EXPECT_NEAR(ValueOf(std::move(mixed)), 12, 1e-3);
  }
}

// In the caller's thread and in another one, which has to hand it over.
TEST_F(UnitWorkers, WhatALossThrowsComesOutWhenAllThreadsHaveEnded) {
  const std::thread::id caller = std::this_thread::get_id();
  for (const bool in_callers : {true, false}) {
    const std::vector<UnitExamples> units(3000, UnitExamples{Answered(3)});
    OpenGate gate;
    BookKeeping sum = Sum();
    std::atomic<bool> thrown = false;
    std::atomic<int> calls = 0, running = 0;
    std::set<std::thread::id> threads;
    std::mutex mutex;
    ended_threads = 0;
    const auto loss = [&](const UnitExamples& unit, Chosen chosen, GradientObserver& told) {
      TellMyEnd();
      {
        const std::lock_guard lock(mutex);
        threads.insert(std::this_thread::get_id());
      }
      ++calls;
      if ((std::this_thread::get_id() == caller) == in_callers) {
        thrown = true;
        throw std::runtime_error("a loss that cannot be taken");
      }
      ++running;
      while (!thrown) std::this_thread::yield();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));  // until it is known to all
      --running;
      return LossOf(unit, chosen, told);
    };
    try {
      (void)AddUnits(units, 4, gate, loss, {}, sum);
      ADD_FAILURE() << "it was lost";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "a loss that cannot be taken");
    }
    EXPECT_EQ(running, 0);
    EXPECT_EQ(ended_threads + (threads.contains(caller) ? 1 : 0), static_cast<int>(threads.size()));
    EXPECT_LT(calls, 3000) << "the rest is not worked through";
    // Nothing is held that a later step needs.
    BookKeeping next = Sum();
    EXPECT_TRUE(Add(units, 4, gate, next));
    EXPECT_NEAR(ValueOf(std::move(next)), 9000, 1);
  }
}

// Between two parts of a user, while the others wait for the one buffer that a sum of so many
// parameters has.
TEST_F(UnitWorkers, AThrowBetweenAUsersPartsKeepsNobodyWaiting) {
  constexpr std::int64_t kMany = (std::int64_t{1} << 23) + 1;
  const std::vector<UnitExamples> units(6, UnitExamples{Answered(300), Answered(400)});
  OpenGate gate;
  BookKeeping sum = Sum(dp::PrivacyUnit::kUser, kMany);
  std::atomic<int> second_parts = 0;
  const auto loss = [&](const UnitExamples& unit, Chosen chosen, GradientObserver& told) {
    if (unit[chosen[0]].tokens() == 300 && ++second_parts == 2) {
      // The others are at the buffer's door by then.
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      throw std::runtime_error("between parts");
    }
    return LossOf(unit, chosen, told, kMany);
  };
  EXPECT_THROW((void)AddUnits(units, 3, gate, loss, {}, sum), std::runtime_error);
}

TEST_F(UnitWorkers, EndWhenProgressSaysSo) {
  const std::vector<UnitExamples> units(40, UnitExamples{Answered(3)});
  for (const std::int64_t threads : {1, 3}) {
    OpenGate gate;
    BookKeeping sum = Sum();
    int asked = 0;  // under the queue's lock
    std::atomic<int> calls = 0;
    const auto loss = AddUnits(
        units, threads, gate,
        [&](const UnitExamples& unit, Chosen chosen, GradientObserver& told) {
          ++calls;
          return LossOf(unit, chosen, told);
        },
        [&](std::int64_t examples) {
          EXPECT_EQ(examples, ++asked);
          return examples < 5;
        },
        sum);
    ASSERT_FALSE(loss);
    EXPECT_EQ(loss.error().code, base::Code::kCancelled);
    EXPECT_EQ(asked, 5) << "it is not asked again";
    EXPECT_LE(calls, 5 + threads - 1);
  }
}

TEST_F(UnitWorkers, DealUnitsToLanesThatEndTogether) {
  const std::vector<UnitExamples> units = {{Answered(2)}, {Answered(9)}, {WithoutAnswer(9)},
                                           {Answered(7)}, {Answered(3)}, {}};
  const UnitLanes two = DealUnits(units, 2);
  ASSERT_EQ(two.units.size(), 2);
  EXPECT_EQ(two.units[0], std::vector<std::size_t>({1, 4}));  // longest beside longest
  EXPECT_EQ(two.units[1], std::vector<std::size_t>({3, 0}));
  EXPECT_EQ(two.passes, 2);
  EXPECT_EQ(DealUnits(units, 16).units.size(), 4);
  EXPECT_EQ(DealUnits(units, 16).passes, 1);
  EXPECT_TRUE(DealUnits({}, 2).units.empty());
  EXPECT_EQ(DealUnits({}, 2).passes, 0);
}

// Two lanes that keep step could not take turns in one buffer.
TEST_F(UnitWorkers, DealUnitsOfSeveralPassesToOneLane) {
  const UnitExamples user = {Answered(300), WithoutAnswer(5), Answered(400)};
  const std::vector<UnitExamples> units = {{Answered(9)}, user, {Answered(8)}, user};
  const UnitLanes lanes = DealUnits(units, 3);
  ASSERT_EQ(lanes.units.size(), 3);
  EXPECT_EQ(lanes.units[0], std::vector<std::size_t>({1, 3}));
  EXPECT_EQ(lanes.passes, 4);
}

// Short ones together, by the unit alone; a long one by itself.
TEST_F(UnitWorkers, ExamplesOfAUnitShareAPass) {
  UnitExamples user(10, Answered(100));
  user.push_back(Answered(2000));
  user.push_back(WithoutAnswer(100));
  EXPECT_EQ(PassTokens(user), 2000);
  std::mutex mutex;
  std::vector<std::size_t> passes;
  OpenGate gate;
  BookKeeping sum = Sum(dp::PrivacyUnit::kUser);
  const auto loss = AddUnits(
      std::vector<UnitExamples>{user}, 4, gate,
      [&](const UnitExamples& unit, Chosen chosen, GradientObserver& told) {
        const std::lock_guard lock(mutex);
        passes.push_back(chosen.size());
        return LossOf(unit, chosen, told);
      },
      {}, sum);
  ASSERT_TRUE(loss) << loss.error().message;
  EXPECT_EQ(passes, std::vector<std::size_t>({1, 5, 5}));
  EXPECT_NEAR(*loss, 3000.0 / 11, 1e-9);
  EXPECT_NEAR(ValueOf(std::move(sum)), 500, 0.01);  // of a norm of 1000 in four parameters
}

TEST_F(UnitWorkers, LanesAddWhatTheyWereDealtAndSayHowTheyEnded) {
  const std::vector<UnitExamples> units = {{Answered(2)}, {Answered(7)}, {Answered(3)}};
  for (const bool fails : {false, true}) {
    OpenGate gate;
    BookKeeping sum = Sum();
    UnitLanes lanes = DealUnits(units, 2);
    std::mutex mutex;
    std::vector<base::Status> ended;
    lanes.leave = [&](base::Status own) {
      const std::lock_guard lock(mutex);
      ended.push_back(std::move(own));
    };
    const auto loss = [fails](const UnitExamples& unit, Chosen chosen, GradientObserver& told) {
      if (fails && unit[chosen[0]].tokens() == 2) throw std::runtime_error("too much");
      return LossOf(unit, chosen, told);
    };
    if (fails) {
      EXPECT_THROW((void)AddUnits(units, 2, gate, loss, {}, sum, &lanes), std::runtime_error);
    } else {
      EXPECT_EQ(AddUnits(units, 2, gate, loss, {}, sum, &lanes).value(), 4);
      EXPECT_NEAR(ValueOf(std::move(sum)), 12, 1e-3);
    }
    ASSERT_EQ(ended.size(), 2);
    EXPECT_EQ(std::any_of(ended.begin(), ended.end(), [](const auto& own) { return !own; }), fails);
  }
}

}  // namespace
}  // namespace cloister::trainer
