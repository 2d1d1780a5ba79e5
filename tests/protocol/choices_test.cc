// What a site made durable binds it after a restart, and the job's figures are checked.

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <utility>

#include "tests/protocol/simulated_federation.h"

namespace cloister::federation::protocol {
namespace {

TEST(PastChoices, ARoundIsNeverStartedTwice) {
  SimulatedFederation sim(4, 1, 5, 51);
  ASSERT_TRUE(sim.Run({}).has_value());
  const SimulatedSite& site = sim.sites[1];
  const auto past = PastChoices::FromRecords(site.journal);
  ASSERT_TRUE(past.has_value()) << past.error().message;
  AttemptId next = sim.attempt;
  for (const std::uint64_t attempt : {0, 1}) {
    next.attempt = attempt;
    const auto started = Advertised::Start(sim.terms, next, 1, site.identity, *past);
    ASSERT_FALSE(started.has_value());
    EXPECT_EQ(started.error().code, base::Code::kFailedPrecondition);
  }
  next.round += 1;
  EXPECT_TRUE(Advertised::Start(sim.terms, next, 1, site.identity, *past).has_value());
}

TEST(PastChoices, AnotherSurvivorSetIsNotSignedAfterARestart) {
  SimulatedFederation sim(4, 1, 5, 52);
  ASSERT_TRUE(sim.RunUntil(Leaves::kBeforeCommit).has_value());
  // What lies on disk: the start, and a vote for a smaller set.
  const CommitVote earlier{sim.survivor_set.binding, {}, {0, 1, 2}, 0, {}};
  const std::vector<Bytes> journal = {StartRecord(sim.attempt), CommitRecord(sim.attempt, earlier)};
  const auto past = PastChoices::FromRecords(journal);
  ASSERT_TRUE(past.has_value());
  const auto refused = std::move(*sim.sites[0].masked).Commit(sim.survivor_set, *past);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, base::Code::kFailedPrecondition);
  // The same choice again is allowed.
  auto first = std::move(*sim.sites[1].masked).Commit(sim.survivor_set, PastChoices{});
  ASSERT_TRUE(first.has_value());
  const std::vector<Bytes> same = {StartRecord(sim.attempt), first->record()};
  const CommitVote vote = std::move(*first).AfterPersisted().message;
  EXPECT_TRUE(PastChoices::FromRecords(same)->CheckCommit(sim.attempt, vote).has_value());
}

TEST(PastChoices, TheOtherKindOfShareIsNotRevealedAfterARestart) {
  SimulatedFederation sim(4, 1, 5, 53);
  ASSERT_TRUE(sim.Run({}).has_value());
  const auto past = PastChoices::FromRecords(sim.sites[0].journal);
  ASSERT_TRUE(past.has_value());
  RevealedShares shares = *sim.sites[0].revealed;
  EXPECT_TRUE(past->CheckReveal(sim.attempt, shares).has_value());
  shares.shares[2].kind = ShareKind::kMaskKey;
  EXPECT_FALSE(past->CheckReveal(sim.attempt, shares).has_value());

  // The same seen from the state: a site that finds another reveal in its journal gives nothing.
  SimulatedFederation other(4, 1, 5, 53);
  ASSERT_TRUE(other.RunUntil(Leaves::kBeforeReveal).has_value());
  std::vector<Bytes> journal = other.sites[0].journal;
  journal.push_back(RevealRecord(other.attempt, shares));
  const auto refused =
      std::move(*other.sites[0].committed).Reveal(other.votes, *PastChoices::FromRecords(journal));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, base::Code::kFailedPrecondition);
}

TEST(PastChoices, AJournalThatContradictsItselfIsRefused) {
  const AttemptId attempt{{}, 3, 0};
  const CommitVote one{{}, {}, {0, 1, 2}, 0, {}};
  const CommitVote other{{}, {}, {0, 1, 3}, 0, {}};
  const RevealedShares reveal{};
  const Bytes start = StartRecord(attempt);
  const std::vector<std::vector<Bytes>> bad = {
      {start, start},
      {CommitRecord(attempt, one)},
      {start, CommitRecord(attempt, one), CommitRecord(attempt, other)},
      {start, RevealRecord(attempt, reveal)},
      {start, Bytes{}},
      {start, Bytes{1, 2, 3}},
  };
  for (const auto& journal : bad) {
    const auto past = PastChoices::FromRecords(journal);
    ASSERT_FALSE(past.has_value());
    EXPECT_EQ(past.error().code, base::Code::kDataLoss);
  }
  for (std::size_t size = 0; size < start.size(); ++size) {
    EXPECT_FALSE(
        PastChoices::FromRecords(
            std::vector<Bytes>{Bytes(start.begin(), start.begin() + static_cast<long>(size))})
            .has_value());
  }
  EXPECT_TRUE(PastChoices::FromRecords(std::vector<Bytes>{start, CommitRecord(attempt, one),
                                                          CommitRecord(attempt, one),
                                                          RevealRecord(attempt, reveal)})
                  .has_value());
}

TEST(Parameters, OnlyFiguresThatBearTheColludersPass) {
  const auto good = [](std::uint32_t n, std::uint32_t c, std::uint32_t minimum = 3) {
    return Validate(ParametersFor(n, c, minimum)).has_value();
  };
  EXPECT_TRUE(good(3, 0));
  EXPECT_TRUE(good(3, 1));
  EXPECT_FALSE(good(3, 2));
  EXPECT_TRUE(good(4, 1));
  EXPECT_FALSE(good(4, 2));
  EXPECT_TRUE(good(7, 2));
  EXPECT_FALSE(good(7, 3));  // 2t = 10 is not above n + c = 10
  EXPECT_FALSE(good(2, 0));
  EXPECT_TRUE(good(200, 60));
  EXPECT_FALSE(good(201, 0));
  EXPECT_FALSE(good(4, std::numeric_limits<std::uint32_t>::max()));
  EXPECT_FALSE(good(4, 1, 2));
  EXPECT_FALSE(good(4, 1, 5));
  EXPECT_EQ(ThresholdOf(3), 3U);
  EXPECT_EQ(ThresholdOf(4), 3U);
  EXPECT_EQ(ThresholdOf(7), 5U);
  Parameters lowered = ParametersFor(7, 1, 3);
  lowered.threshold = 4;
  EXPECT_FALSE(Validate(lowered).has_value());
  for (std::uint32_t n = 3; n <= kMaximumSites; ++n) {
    for (std::uint32_t c = 0; c <= n; ++c) {
      const Parameters p = ParametersFor(n, c, 3);
      EXPECT_EQ(Validate(p).has_value(), 2 * p.threshold > n + c && p.threshold >= c + 2)
          << n << " " << c;
    }
  }
}

TEST(Parameters, TermsThatNameASiteTwiceAreRefused) {
  const SimulatedFederation sim(4, 1, 5, 54);
  Terms terms = *sim.terms;
  EXPECT_TRUE(Validate(terms).has_value());
  const auto refused = [&terms](const auto& change) {
    Terms changed = terms;
    change(changed);
    return !Validate(changed).has_value();
  };
  EXPECT_TRUE(refused([](Terms& t) { t.sites[1].name = t.sites[0].name; }));
  EXPECT_TRUE(refused([](Terms& t) { t.sites[1].key = t.sites[0].key; }));
  EXPECT_TRUE(refused([](Terms& t) { t.sites[1].name.clear(); }));
  EXPECT_TRUE(refused([](Terms& t) { t.sites[1].name.assign(65, 'x'); }));
  EXPECT_TRUE(refused([](Terms& t) { t.sites.pop_back(); }));
  EXPECT_TRUE(refused([](Terms& t) { t.words = 0; }));
  EXPECT_TRUE(refused([](Terms& t) { t.words = kMaximumWords + 1; }));
}

TEST(Advertised, StartsOnlyAsTheSiteThatTheJobNames) {
  const SimulatedFederation sim(4, 1, 5, 55);
  const auto start = [&sim](const AttemptId& attempt, SiteIndex self, SiteIndex identity) {
    return Advertised::Start(sim.terms, attempt, self, sim.sites[identity].identity, {})
        .has_value();
  };
  EXPECT_TRUE(start(sim.attempt, 2, 2));
  EXPECT_FALSE(start(sim.attempt, 2, 1));
  EXPECT_FALSE(start(sim.attempt, 4, 1));
  AttemptId other = sim.attempt;
  other.job[0] ^= 1;
  EXPECT_FALSE(start(other, 2, 2));
}

TEST(Paired, RefusesAnUpdateOfWrongSizeOrRange) {
  for (const bool size : {true, false}) {
    SimulatedFederation sim(4, 1, 5, 56);
    ASSERT_TRUE(sim.RunUntil(Leaves::kBeforeUpload).has_value());
    std::vector<std::int64_t> values = sim.sites[0].values;
    if (size) {
      values.pop_back();
    } else {
      values[3] = std::int64_t{1} << 31;
    }
    EXPECT_FALSE(std::move(*sim.sites[0].paired).Mask(values, sim.context).has_value());
  }
}

TEST(Context, EveryFieldCounts) {
  const RoundContext base{security::HashBytes(Bytes{1}), security::HashBytes(Bytes{2}), 3,
                          security::HashBytes(Bytes{4})};
  std::set<Digest> hashes = {HashContext(base)};
  RoundContext other = base;
  other.model[0] ^= 1;
  hashes.insert(HashContext(other));
  other = base;
  other.plan[0] ^= 1;
  hashes.insert(HashContext(other));
  other = base;
  other.round = 4;
  hashes.insert(HashContext(other));
  other = base;
  other.quantizer[0] ^= 1;
  hashes.insert(HashContext(other));
  EXPECT_EQ(hashes.size(), 5U);
}

}  // namespace
}  // namespace cloister::federation::protocol
