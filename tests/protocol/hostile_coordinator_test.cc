// A coordinator that makes none of its own checks and says what it likes: the sites' checks alone
// keep every update hidden.

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>

#include "federation/protocol/verification.h"
#include "tests/protocol/hostile_site.h"

namespace cloister::federation::protocol {
namespace {

constexpr std::uint64_t kWords = 29;

// What site 0 of a fresh federation of `sites` says to a roster, delivery, survivor set or vote set
// that was changed by `change`; an empty text when it goes along.
std::string AnswerToRoster(const std::function<void(SimulatedFederation&, Roster&)>& change,
                           std::uint32_t sites = 4) {
  SimulatedFederation sim(sites, sites == 4 ? 1 : 2, kWords, 31);
  EXPECT_TRUE(sim.RunUntil(Leaves::kBeforeShare).has_value());
  change(sim, sim.roster);
  const auto step = std::move(*sim.sites[0].advertised).Share(sim.roster);
  return step ? "" : step.error().message;
}

std::string AnswerToDelivery(const std::function<void(SimulatedFederation&, Delivery&)>& change) {
  SimulatedFederation sim(4, 1, kWords, 32);
  EXPECT_TRUE(sim.RunUntil(Leaves::kBeforeShare).has_value());
  sim.Share(sim.All());
  EXPECT_TRUE(sim.CloseSharing().has_value());
  Delivery delivery = sim.deliveries.at(0);
  change(sim, delivery);
  const auto paired = std::move(*sim.sites[0].shared).Pair(delivery);
  return paired ? "" : paired.error().message;
}

std::string AnswerToSurvivors(const std::function<void(SurvivorSet&)>& change) {
  SimulatedFederation sim(7, 2, kWords, 33);
  EXPECT_TRUE(sim.RunUntil(Leaves::kBeforeCommit).has_value());
  SurvivorSet set = sim.survivor_set;
  change(set);
  const auto pending = std::move(*sim.sites[0].masked).Commit(set, PastChoices{});
  return pending ? "" : pending.error().message;
}

std::string AnswerToVotes(const std::function<void(SimulatedFederation&, CommitVotes&)>& change) {
  SimulatedFederation sim(4, 1, kWords, 34);
  EXPECT_TRUE(sim.RunUntil(Leaves::kBeforeReveal).has_value());
  CommitVotes votes = sim.votes;
  change(sim, votes);
  const auto pending = std::move(*sim.sites[0].committed).Reveal(votes, PastChoices{});
  return pending ? "" : pending.error().message;
}

void ExpectSays(const std::string& answer, const std::string& part) {
  EXPECT_NE(answer.find(part), std::string::npos) << "it said: '" << answer << "'";
}

TEST(HostileCoordinator, UnchangedMessagesAreAccepted) {
  EXPECT_EQ(AnswerToRoster([](auto&, Roster&) {}), "");
  EXPECT_EQ(AnswerToDelivery([](auto&, Delivery&) {}), "");
  EXPECT_EQ(AnswerToSurvivors([](SurvivorSet&) {}), "");
  EXPECT_EQ(AnswerToVotes([](auto&, CommitVotes&) {}), "");
}

TEST(HostileCoordinator, ARosterBelowTheCohortIsRefused) {
  EXPECT_EQ(AnswerToRoster([](auto&, Roster& roster) { roster.entries.pop_back(); }), "");
  ExpectSays(AnswerToRoster([](auto&, Roster& roster) { roster.entries.resize(2); }),
             "roster of 2 sites: at least 3");
  ExpectSays(AnswerToRoster([](auto&, Roster& roster) { roster.entries.resize(4); }, 7),
             "roster of 4 sites: at least 5");
}

TEST(HostileCoordinator, ARosterWithoutThisSitesOwnKeysIsRefused) {
  ExpectSays(
      AnswerToRoster([](auto&, Roster& roster) { roster.entries.erase(roster.entries.begin()); }),
      "own entry is missing");
  ExpectSays(AnswerToRoster([](SimulatedFederation& sim, Roster& roster) {
               roster.entries[0] = HostileSite(sim, 0).Advertise();
             }),
             "own entry is missing or was changed");
}

TEST(HostileCoordinator, InventedOrSwappedRosterEntriesAreRefused) {
  ExpectSays(AnswerToRoster([](auto&, Roster& roster) {
               roster.entries[2].mask_key = security::GenerateX25519().public_key;
             }),
             "site 'site-c': the signature");
  ExpectSays(AnswerToRoster([](SimulatedFederation& sim, Roster& roster) {
               // signed by the coordinator's own key in another site's name
               sim.sites[2].identity =
                   std::make_shared<security::Ed25519KeyPair>(security::GenerateEd25519());
               roster.entries[2] = HostileSite(sim, 2).Advertise();
             }),
             "site 'site-c': the signature");
  ExpectSays(AnswerToRoster([](auto&, Roster& roster) {
               std::swap(roster.entries[1].site, roster.entries[2].site);
               std::swap(roster.entries[1], roster.entries[2]);
             }),
             "the signature");
  ExpectSays(AnswerToRoster([](SimulatedFederation& sim, Roster& roster) {
               // a site that shows another's keys as its own
               roster.entries[3].share_key = roster.entries[2].share_key;
               roster.entries[3].mask_key = roster.entries[2].mask_key;
               roster.entries[3] = Resigned(sim, 3, roster.entries[3]);
             }),
             "shows another site's key");
  ExpectSays(AnswerToRoster([](SimulatedFederation& sim, Roster& roster) {
               roster.entries[3].mask_key = {};  // a point of low order
               roster.entries[3] = Resigned(sim, 3, roster.entries[3]);
             }),
             "keys that no honest site makes");
  ExpectSays(AnswerToRoster([](auto&, Roster& roster) {
               roster.entries.push_back(roster.entries.back());
               roster.entries.back().site = 4;
             }),
             "the job does not name this site");
  ExpectSays(AnswerToRoster(
                 [](auto&, Roster& roster) { roster.entries.push_back(roster.entries.back()); }),
             "twice there");
}

TEST(HostileCoordinator, AReplayedAdvertisementIsRefused) {
  for (const auto change :
       {+[](AttemptId& id) { ++id.attempt; }, +[](AttemptId& id) { ++id.round; },
        +[](AttemptId& id) { id.job[0] ^= 1; }}) {
    ExpectSays(AnswerToRoster([change](SimulatedFederation& sim, Roster& roster) {
                 change(roster.entries[1].attempt);
                 roster.entries[1] = Resigned(sim, 1, roster.entries[1]);
               }),
               "another job, round or attempt");
  }
}

TEST(HostileCoordinator, ATamperedOrThinnedDeliveryIsRefused) {
  ExpectSays(AnswerToDelivery([](auto&, Delivery& d) { d.shares[1].sealed[3] ^= 1; }),
             "it was changed on the way");
  ExpectSays(AnswerToDelivery(
                 [](auto&, Delivery& d) { std::swap(d.shares[0].sealed, d.shares[1].sealed); }),
             "it was changed on the way");
  ExpectSays(AnswerToDelivery([](SimulatedFederation& sim, Delivery& d) {
               d.shares[0].sealed = sim.deliveries.at(2).shares[1].sealed;  // meant for site 2
             }),
             "it was changed on the way");
  ExpectSays(AnswerToDelivery([](auto&, Delivery& d) { d.deals[2].seed[0] ^= 1; }),
             "commitments of site 'site-c': the signature");
  ExpectSays(AnswerToDelivery([](auto&, Delivery& d) { d.binding[0] ^= 1; }), "another attempt");
  ExpectSays(AnswerToDelivery([](auto&, Delivery& d) { d.recipient = 1; }), "another attempt");
  ExpectSays(AnswerToDelivery([](auto&, Delivery& d) { d.shares.pop_back(); }),
             "one message of every other dealer");
  ExpectSays(AnswerToDelivery([](auto&, Delivery& d) { d.deals.erase(d.deals.begin()); }),
             "own commitments are missing");
  ExpectSays(AnswerToDelivery([](auto&, Delivery& d) { std::swap(d.deals[1], d.deals[2]); }),
             "out of order");
  ExpectSays(AnswerToDelivery([](auto&, Delivery& d) {
               d.deals.resize(2);
               d.shares.resize(1);
             }),
             "2 sites dealt, and 3 must");
  EXPECT_EQ(AnswerToDelivery([](auto&, Delivery& d) {
              d.deals.pop_back();
              d.shares.pop_back();
            }),
            "");
}

TEST(HostileCoordinator, ASurvivorSetThatWouldIsolateAnUpdateIsNotSigned) {
  ExpectSays(AnswerToSurvivors([](SurvivorSet& s) { s.survivors = {0}; }),
             "of 1 sites: at least 5");
  ExpectSays(AnswerToSurvivors([](SurvivorSet& s) { s.survivors.resize(4); }),
             "of 4 sites: at least 5");
  ExpectSays(AnswerToSurvivors([](SurvivorSet& s) {
               s.survivors = {1, 2, 3, 4, 5};
             }),
             "this site is not in it");
  ExpectSays(AnswerToSurvivors([](SurvivorSet& s) {
               s.survivors = {0, 1, 2, 3, 9};
             }),
             "dealt no shares");
  ExpectSays(AnswerToSurvivors([](SurvivorSet& s) {
               s.survivors = {0, 1, 1, 1, 1};
             }),
             "twice there");
  ExpectSays(AnswerToSurvivors([](SurvivorSet& s) { s.binding[5] ^= 1; }), "another attempt");
  EXPECT_EQ(AnswerToSurvivors([](SurvivorSet& s) { s.survivors = {0, 1, 2, 3, 4}; }), "");
}

TEST(HostileCoordinator, NothingIsRevealedWithoutEnoughTrueVotesOnTheSignedSet) {
  ExpectSays(AnswerToVotes([](auto&, CommitVotes& v) { v.votes.resize(2); }),
             "2 commit votes: nothing is revealed below 3");
  ExpectSays(AnswerToVotes([](auto&, CommitVotes& v) {
               v.votes = {v.votes[0], v.votes[1], v.votes[1]};
             }),
             "twice there");
  ExpectSays(AnswerToVotes([](auto&, CommitVotes& v) { v.votes[1].signature[0] ^= 1; }),
             "site 'site-b': the signature");
  ExpectSays(AnswerToVotes([](auto&, CommitVotes& v) {
               v.votes[1].site = 3;
               v.votes.resize(3);
               std::swap(v.votes[1], v.votes[2]);
             }),
             "the signature");
  ExpectSays(AnswerToVotes([](SimulatedFederation& sim, CommitVotes& v) {
               v.votes[2].survivors = {0, 1, 2};
               v.votes[2] = Resigned(sim, 2, v.votes[2]);
             }),
             "another survivor set");
  ExpectSays(AnswerToVotes([](SimulatedFederation& sim, CommitVotes& v) {
               v.votes[2].agreement[0] ^= 1;
               v.votes[2] = Resigned(sim, 2, v.votes[2]);
             }),
             "told sites different things");
  ExpectSays(AnswerToVotes([](auto&, CommitVotes& v) { v.binding[0] ^= 1; }), "another attempt");
  EXPECT_EQ(AnswerToVotes([](auto&, CommitVotes& v) { v.votes.resize(3); }), "");
}

// Four sites, one of which colludes: it signs whatever set the coordinator asks for. Two different
// sets can never both gather three votes, so at most one sum is opened.
TEST(HostileCoordinator, EquivocatingSurvivorSetsOpenAtMostOneSum) {
  SimulatedFederation sim(4, 1, kWords, 35);
  ASSERT_TRUE(sim.RunUntil(Leaves::kBeforeCommit).has_value());
  const HostileSite colluder(sim, 3);
  const std::vector<SiteIndex> all = {0, 1, 2, 3};
  const std::vector<SiteIndex> fewer = {1, 2, 3};
  std::map<SiteIndex, Committed> committed;
  std::map<SiteIndex, CommitVote> votes;
  for (const auto& [site, set] :
       std::map<SiteIndex, std::vector<SiteIndex>>{{0, all}, {1, all}, {2, fewer}}) {
    auto pending =
        std::move(*sim.sites[site].masked).Commit({sim.survivor_set.binding, set}, PastChoices{});
    ASSERT_TRUE(pending.has_value()) << pending.error().message;
    auto step = std::move(*pending).AfterPersisted();
    votes[site] = step.message;
    committed.emplace(site, std::move(step.state));
  }
  // Asked again for the other set, each refuses; for its own, it repeats itself.
  EXPECT_FALSE(committed.at(1).CheckSurvivors({sim.survivor_set.binding, fewer}).has_value());
  EXPECT_TRUE(committed.at(1).CheckSurvivors({sim.survivor_set.binding, all}).has_value());
  EXPECT_EQ(committed.at(1).vote(), votes[1]);

  auto second =
      std::move(committed.at(2))
          .Reveal({sim.survivor_set.binding, {votes[2], colluder.Vote(fewer)}}, PastChoices{});
  ASSERT_FALSE(second.has_value());
  auto mixed =
      std::move(committed.at(1))
          .Reveal({sim.survivor_set.binding, {votes[0], votes[1], votes[2]}}, PastChoices{});
  ASSERT_FALSE(mixed.has_value());
  EXPECT_EQ(mixed.error().code, base::Code::kFailedPrecondition);
  auto first = std::move(committed.at(0))
                   .Reveal({sim.survivor_set.binding, {votes[0], votes[1], colluder.Vote(all)}},
                           PastChoices{});
  EXPECT_TRUE(first.has_value()) << first.error().message;
}

TEST(HostileCoordinator, ASiteThatWasShownAnotherModelTurnsTheSumIntoNoise) {
  SimulatedFederation sim(4, 1, 2048, 36);
  sim.sites[3].context = HashContext({security::HashBytes(Bytes{99}), security::HashBytes(Bytes{5}),
                                      1, security::HashBytes(Bytes{6})});
  ASSERT_TRUE(sim.RunUntil(Leaves::kBeforeReveal).has_value());  // three votes are enough
  ASSERT_EQ(sim.refusals.size(), 1U);
  ExpectSays(sim.refusals[0], "commit vote of site 'site-d' is about other deals or another model");
  sim.Reveal(sim.All());
  EXPECT_FALSE(sim.sites[3].revealed.has_value()) << "the deceived site reveals nothing";
  const auto sum = sim.Finish();
  ASSERT_TRUE(sum.has_value()) << sum.error().message;
  std::vector<std::uint32_t> words;
  const auto plain = sim.PlainSum(sum->survivors);
  for (std::size_t i = 0; i < plain.size(); ++i) {
    words.push_back(static_cast<std::uint32_t>(sum->sum[i] - plain[i]));
  }
  EXPECT_TRUE(LooksUniform(words));
}

// A colluding site signs two advertisements, and the coordinator shows one roster to two sites and
// another to the third: what either half deals is worth nothing to the other.
TEST(HostileCoordinator, DifferentRostersToDifferentSitesDoNotMix) {
  SimulatedFederation sim(4, 1, kWords, 37);
  ASSERT_TRUE(sim.RunUntil(Leaves::kBeforeShare).has_value());
  const HostileSite colluder(sim, 3);
  Roster other = sim.roster;
  other.entries[3] = colluder.Advertise();
  sim.Share({0, 1});
  auto split = std::move(*sim.sites[2].advertised).Share(other);
  ASSERT_TRUE(split.has_value());
  const auto refused = sim.sharing->Add(split->message);
  ASSERT_FALSE(refused.has_value());
  ExpectSays(refused.error().message, "bound to another attempt or roster");
  sim.Share({3});
  ASSERT_TRUE(sim.CloseSharing().has_value());
  Delivery delivery = sim.deliveries.at(0);
  delivery.deals.insert(delivery.deals.begin() + 2, split->message.commitments);
  delivery.shares.insert(delivery.shares.begin() + 1, {2, split->message.shares[0].sealed});
  const auto paired = std::move(*sim.sites[0].shared).Pair(delivery);
  ASSERT_FALSE(paired.has_value());
  ExpectSays(paired.error().message, "site 'site-c' are bound to another attempt or roster");
}

// Deliveries with different sets of dealers, all valid by themselves: votes then disagree.
TEST(HostileCoordinator, DifferentDealersToDifferentSitesLeaveNoAgreement) {
  SimulatedFederation sim(4, 1, kWords, 38);
  ASSERT_TRUE(sim.RunUntil(Leaves::kBeforeShare).has_value());
  sim.Share(sim.All());
  ASSERT_TRUE(sim.CloseSharing().has_value());
  for (const SiteIndex deceived : {0, 1}) {
    sim.deliveries.at(deceived).deals.pop_back();
    sim.deliveries.at(deceived).shares.pop_back();
  }
  sim.Pair(sim.All());
  sim.Upload({0, 1, 2}, {3});
  ASSERT_TRUE(sim.CloseUploading().has_value());
  sim.Commit(sim.All());
  EXPECT_FALSE(sim.CloseCommitting().has_value());
  EXPECT_EQ(sim.RevealCount(), 0U);
}

TEST(HostileCoordinator, AStateThatRefusedOnceHasLeftTheAttempt) {
  SimulatedFederation sim(4, 1, kWords, 39);
  ASSERT_TRUE(sim.RunUntil(Leaves::kBeforeCommit).has_value());
  Masked& masked = *sim.sites[0].masked;
  SurvivorSet bad = sim.survivor_set;
  bad.survivors = {0, 1};
  ASSERT_FALSE(std::move(masked).Commit(bad, PastChoices{}).has_value());
  // Using it again is what is tested. NOLINTNEXTLINE(bugprone-use-after-move)
  const auto again = std::move(masked).Commit(sim.survivor_set, PastChoices{});
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, base::Code::kFailedPrecondition);
}

TEST(HostileCoordinator, UploadsThatMissTheirHashesDoNotCount) {
  SimulatedFederation sim(4, 1, kWords, 40);
  ASSERT_TRUE(sim.RunUntil(Leaves::kBeforeUpload).has_value());
  auto step = std::move(*sim.sites[0].paired).Mask(sim.sites[0].values, sim.context);
  ASSERT_TRUE(step.has_value());
  const MaskedUpload& upload = step->message;
  UploadChunk chunk = upload.Chunk(0, 64);
  chunk.bytes[0] ^= 1;
  EXPECT_FALSE(sim.uploading->Add(chunk).has_value());
  chunk = upload.Chunk(1, 64);
  const auto early = sim.uploading->Add(chunk);
  ASSERT_FALSE(early.has_value());
  EXPECT_EQ(early.error().code, base::Code::kOutOfRange);
  chunk = upload.Chunk(0, 64);
  chunk.site = 1;  // a chunk in another site's name fails that site's seal, and is told apart there
  EXPECT_TRUE(sim.uploading->Add(chunk).has_value());
  EXPECT_FALSE(sim.uploading->Add(upload.seal()).has_value()) << "nothing was uploaded";
  for (std::size_t i = 0; i < upload.ChunkCount(64); ++i) {
    ASSERT_TRUE(sim.uploading->Add(upload.Chunk(i, 64)).has_value());
  }
  EXPECT_FALSE(sim.uploading->Add(upload.Chunk(0, 64)).has_value()) << "more than the job's words";
  UploadSeal forged = upload.seal();
  forged.signature[0] ^= 1;
  EXPECT_FALSE(sim.uploading->Add(forged).has_value());
  EXPECT_TRUE(sim.uploading->Add(upload.seal()).has_value()) << "a forged seal costs nothing";
  EXPECT_EQ(sim.uploading->received(), 1U);
}

}  // namespace
}  // namespace cloister::federation::protocol
