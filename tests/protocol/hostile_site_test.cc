// What a site may send: wrong shares and bad deals are pinned on their author, and a broken mask is
// seen in the sum.

#include "tests/protocol/hostile_site.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "federation/aggregation/mask.h"
#include "federation/aggregation/shamir.h"
#include "federation/protocol/derivation.h"
#include "federation/protocol/verification.h"

namespace cloister::federation::protocol {
namespace {

constexpr SiteIndex kHostile = 2;

void Flip(security::SecretBytes& bytes) { bytes.mutable_bytes()[7] ^= 1; }

// A federation in which one site is hostile, with phase 1 done.
class HostileSiteTest : public testing::Test {
 protected:
  void Prepare(std::uint32_t sites, std::uint32_t colluders, std::uint64_t words,
               const HostileSite::Bend& bend) {
    federation.emplace(sites, colluders, words, 21);
    hostile.emplace(*federation, kHostile);
    honest = federation->All();
    honest.erase(kHostile);
    federation->Advertise(honest);
    ASSERT_TRUE(federation->advertising->Add(hostile->Advertise()).has_value());
    ASSERT_TRUE(federation->CloseAdvertising().has_value());
    federation->Share(honest);
    ASSERT_TRUE(federation->sharing->Add(hostile->MakeDeal(bend)).has_value());
    ASSERT_TRUE(federation->CloseSharing().has_value());
    federation->Pair(honest);
  }

  void Deliver(const MaskedUpload& upload) {
    for (std::size_t i = 0; i < upload.ChunkCount(kMaximumChunkBytes); ++i) {
      ASSERT_TRUE(federation->uploading->Add(upload.Chunk(i, kMaximumChunkBytes)).has_value());
    }
    ASSERT_TRUE(federation->uploading->Add(upload.seal()).has_value());
  }

  // From the uploads on; the hostile site votes when it is a survivor and then goes away.
  base::Result<SecureSum> Conclude() {
    CLOISTER_RETURN_IF_ERROR(federation->CloseUploading());
    federation->Commit(honest);
    CLOISTER_RETURN_IF_ERROR(federation->CloseCommitting());
    federation->Reveal(honest);
    return federation->Finish();
  }

  std::vector<SiteIndex> Others() const { return {honest.begin(), honest.end()}; }

  std::optional<SimulatedFederation> federation;
  std::optional<HostileSite> hostile;
  Sites honest;
};

TEST_F(HostileSiteTest, TheStandInIsHonestWhenItIsNotBent) {
  Prepare(7, 2, 37, HostileSite::Straight);
  Deliver(hostile->Upload(Others(), true));
  federation->Upload(honest);
  const auto sum = Conclude();
  ASSERT_TRUE(sum.has_value()) << sum.error().message;
  EXPECT_EQ(sum->survivors.size(), 7U);
  EXPECT_EQ(sum->sum, federation->PlainSum(sum->survivors));
}

TEST_F(HostileSiteTest, OneMissingPairMaskMakesTheSumWrong) {
  Prepare(7, 2, 2048, HostileSite::Straight);
  std::vector<SiteIndex> peers = Others();
  peers.pop_back();
  Deliver(hostile->Upload(peers, true));
  federation->Upload(honest);
  const auto sum = Conclude();
  ASSERT_TRUE(sum.has_value()) << sum.error().message;
  EXPECT_NE(sum->sum, federation->PlainSum(sum->survivors));
}

TEST_F(HostileSiteTest, AMissingSelfMaskMakesTheSumWrong) {
  Prepare(7, 2, 2048, HostileSite::Straight);
  Deliver(hostile->Upload(Others(), false));
  federation->Upload(honest);
  const auto sum = Conclude();
  ASSERT_TRUE(sum.has_value()) << sum.error().message;
  EXPECT_NE(sum->sum, federation->PlainSum(sum->survivors));
}

TEST_F(HostileSiteTest, AShareThatMissesItsCommitmentIsRefusedByItsHolderWhoNamesTheDealer) {
  for (const bool mask : {true, false}) {
    Prepare(4, 1, 37, [mask](SiteIndex holder, bool after, HeldShares& shares) {
      if (holder == 0 && after) Flip(mask ? shares.mask_share : shares.seed_share);
    });
    EXPECT_FALSE(federation->sites[0].paired.has_value());
    EXPECT_TRUE(federation->sites[1].paired.has_value());
    ASSERT_EQ(federation->refusals.size(), 1U);
    EXPECT_NE(federation->refusals[0].find("site 'site-c' dealt a share that misses"),
              std::string::npos)
        << federation->refusals[0];
  }
}

TEST_F(HostileSiteTest, CommittedSharesThatDoNotRebuildTheSeedBlameTheDealer) {
  Prepare(7, 2, 37, [](SiteIndex holder, bool after, HeldShares& shares) {
    if (holder == 1 && !after) Flip(shares.seed_share);
  });
  EXPECT_TRUE(federation->refusals.empty());  // no holder can see it alone
  Deliver(hostile->Upload(Others(), true));
  federation->Upload(honest);
  const auto sum = Conclude();
  ASSERT_FALSE(sum.has_value());
  EXPECT_EQ(sum.error().code, base::Code::kDataLoss);
  EXPECT_NE(sum.error().message.find("'site-c' dealt shares that do not rebuild its seed"),
            std::string::npos)
      << sum.error().message;
}

TEST_F(HostileSiteTest, CommittedSharesThatDoNotRebuildTheMaskKeyBlameTheDealer) {
  Prepare(7, 2, 37, [](SiteIndex holder, bool after, HeldShares& shares) {
    if (holder == 1 && !after) Flip(shares.mask_share);
  });
  federation->Upload(honest);  // the hostile site is lost: its mask key must be rebuilt
  const auto sum = Conclude();
  ASSERT_FALSE(sum.has_value());
  EXPECT_NE(sum.error().message.find("'site-c' dealt shares that do not rebuild its mask key"),
            std::string::npos)
      << sum.error().message;
}

TEST_F(HostileSiteTest, AWrongRevealedShareBlamesItsHolderAndTheSumStillComesOut) {
  SimulatedFederation sim(7, 2, 37, 22);
  ASSERT_TRUE(sim.RunUntil(Leaves::kBeforeReveal).has_value());
  Sites others = sim.All();
  others.erase(kHostile);
  sim.Reveal(others);
  auto honest_step =
      std::move(*std::move(*sim.sites[kHostile].committed).Reveal(sim.votes, PastChoices{}))
          .AfterPersisted();
  RevealedShares wrong = honest_step.message;
  wrong.shares[4].share[0] ^= 1;
  const auto forged = sim.revealing->Add(wrong);  // the signature does not cover the change
  ASSERT_FALSE(forged.has_value());
  EXPECT_EQ(forged.error().code, base::Code::kUnauthenticated);
  EXPECT_TRUE(sim.revealing->blamed().empty()) << "nobody signed that";
  for (int twice = 0; twice < 2; ++twice) {
    const auto refused = sim.revealing->Add(Resigned(sim, kHostile, wrong));
    ASSERT_FALSE(refused.has_value());
    EXPECT_NE(refused.error().message.find("'site-c': the share of site 'site-e' misses"),
              std::string::npos)
        << refused.error().message;
  }
  ASSERT_EQ(sim.revealing->blamed().size(), 1U);
  EXPECT_EQ(sim.revealing->blamed()[0].site, kHostile);
  const auto sum = sim.Finish();
  ASSERT_TRUE(sum.has_value()) << sum.error().message;
  EXPECT_EQ(sum->sum, sim.PlainSum(sum->survivors));
}

TEST_F(HostileSiteTest, RevealingTheOtherKindOfShareIsRefusedAndBlamed) {
  SimulatedFederation sim(4, 1, 37, 23);
  ASSERT_TRUE(sim.RunUntil(Leaves::kBeforeReveal).has_value());
  auto step = std::move(*std::move(*sim.sites[1].committed).Reveal(sim.votes, PastChoices{}))
                  .AfterPersisted();
  step.message.shares[0].kind = ShareKind::kMaskKey;
  EXPECT_FALSE(sim.revealing->Add(Resigned(sim, 1, step.message)).has_value());
  ASSERT_EQ(sim.revealing->blamed().size(), 1U);
  EXPECT_EQ(sim.revealing->blamed()[0].site, 1);
}

// The upload of a site that was given up: its pairwise masks can be stripped once its mask key is
// rebuilt, so only its self-mask still hides it.
std::vector<std::uint32_t> StrippedOfPairMasks(const SimulatedFederation& sim, SiteIndex lost,
                                               const MaskedUpload& upload) {
  std::vector<aggregation::ShamirShare> shares;
  for (const SiteIndex holder : sim.survivor_set.survivors) {
    for (const RevealedShare& entry : sim.sites[holder].revealed->shares) {
      if (entry.dealer != lost) continue;
      shares.push_back(
          {static_cast<std::uint8_t>(holder + 1), security::SecretBytes(ByteView(entry.share))});
    }
  }
  const auto mask_key = aggregation::Combine(shares);
  EXPECT_EQ(security::X25519PublicFromPrivate(*mask_key), EntryOf(sim.roster, lost)->mask_key);
  std::vector<std::uint32_t> words = upload.words();
  for (const SiteIndex peer : sim.survivor_set.survivors) {
    const auto key = PairMaskKey(*mask_key, EntryOf(sim.roster, peer)->mask_key,
                                 sim.survivor_set.binding, sim.context, lost, peer);
    aggregation::ApplyMask(words, *key, Opposite(PairSign(lost, peer)));
  }
  return words;
}

TEST_F(HostileSiteTest, ALateUploadLooksUniformAndWithoutItsSelfMaskItLiesOpen) {
  for (const bool self_mask : {true, false}) {
    Prepare(4, 1, 2048, HostileSite::Straight);
    const MaskedUpload late = hostile->Upload(Others(), self_mask);
    EXPECT_TRUE(LooksUniform(late.words())) << "pairwise masks alone hide it at first";
    federation->Upload(honest);
    const auto sum = Conclude();
    ASSERT_TRUE(sum.has_value()) << sum.error().message;
    const std::vector<std::uint32_t> stripped = StrippedOfPairMasks(*federation, kHostile, late);
    EXPECT_EQ(LooksUniform(stripped), self_mask);
    EXPECT_EQ(aggregation::Centred(stripped) == federation->sites[kHostile].values, !self_mask);
  }
}

TEST_F(HostileSiteTest, ALateUploadOfAnHonestSiteLooksUniform) {
  SimulatedFederation sim(4, 1, 2048, 24);
  sim.Advertise(sim.All());
  ASSERT_TRUE(sim.CloseAdvertising().has_value());
  sim.Share(sim.All());
  ASSERT_TRUE(sim.CloseSharing().has_value());
  sim.Pair(sim.All());
  sim.Upload({0, 1, 3}, {2});
  ASSERT_TRUE(sim.CloseUploading().has_value());
  sim.Commit({0, 1, 3});
  ASSERT_TRUE(sim.CloseCommitting().has_value());
  sim.Reveal({0, 1, 3});
  EXPECT_TRUE(LooksUniform(StrippedOfPairMasks(sim, 2, *sim.sites[2].upload)));
  EXPECT_FALSE(LooksUniform([&sim] {
    std::vector<std::uint32_t> plain;
    for (const std::int64_t value : sim.sites[2].values) {
      plain.push_back(static_cast<std::uint32_t>(value));
    }
    return plain;
  }()));
}

TEST_F(HostileSiteTest, NoMaskReturnsInAnotherRoundAndReusedSeedsWouldShow) {
  const auto uploads = [](std::uint64_t round, std::uint32_t seed) {
    SimulatedFederation sim(4, 1, 2048, seed, round);
    EXPECT_TRUE(sim.RunUntil(Leaves::kBeforeCommit).has_value());
    return sim.sites[0].upload->words();
  };
  const auto difference = [](const std::vector<std::uint32_t>& a,
                             const std::vector<std::uint32_t>& b) {
    std::vector<std::uint32_t> words(a.size());
    for (std::size_t i = 0; i < a.size(); ++i) words[i] = a[i] - b[i];
    return words;
  };
  // The same values (same scheduler seed) under fresh keys.
  EXPECT_TRUE(LooksUniform(difference(uploads(1, 25), uploads(2, 25))));
  // The broken variant: the same keys and seed under two plaintexts give the plaintexts'
  // difference.
  Prepare(4, 1, 2048, HostileSite::Straight);
  const auto first = hostile->Upload(Others(), true).words();
  for (std::int64_t& value : federation->sites[kHostile].values) value += 5;
  const auto second = hostile->Upload(Others(), true).words();
  EXPECT_FALSE(LooksUniform(difference(first, second)));
}

TEST_F(HostileSiteTest, ASecondDifferentMessageOfAPhaseIsRefused) {
  SimulatedFederation sim(4, 1, 37, 26);
  const HostileSite one(sim, 1);
  const HostileSite other(sim, 1);
  ASSERT_TRUE(sim.advertising->Add(one.Advertise()).has_value());
  EXPECT_TRUE(sim.advertising->Add(one.Advertise()).has_value());
  const auto refused = sim.advertising->Add(other.Advertise());
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, base::Code::kAlreadyExists);
}

}  // namespace
}  // namespace cloister::federation::protocol
