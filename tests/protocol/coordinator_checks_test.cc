// What an honest coordinator refuses from sites, so that one of them cannot spoil the attempt; and
// that every key is bound to everything that it should be bound to.

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>

#include "federation/aggregation/mask.h"
#include "federation/protocol/derivation.h"
#include "tests/protocol/hostile_site.h"

namespace cloister::federation::protocol {
namespace {

constexpr SiteIndex kHostile = 3;

void ExpectRefused(const base::Status& status, const std::string& part) {
  ASSERT_FALSE(status.has_value());
  EXPECT_NE(status.error().message.find(part), std::string::npos) << status.error().message;
}

TEST(CoordinatorChecks, KeysThatNoHonestSiteShowsAreRefused) {
  SimulatedFederation sim(4, 1, 5, 71);
  sim.Advertise({0, 1, 2});
  const Advertisement good = HostileSite(sim, kHostile).Advertise();
  const auto add = [&sim, &good](const std::function<void(Advertisement&)>& change) {
    Advertisement advertisement = good;
    change(advertisement);
    return sim.advertising->Add(Resigned(sim, kHostile, advertisement));
  };
  const Advertisement& other = sim.sites[1].advertised->advertisement();
  ExpectRefused(add([](Advertisement& a) { a.share_key = {}; }), "no honest site makes");
  ExpectRefused(add([](Advertisement& a) { a.mask_key = {1}; }), "no honest site makes");
  ExpectRefused(add([](Advertisement& a) { a.mask_key = a.share_key; }), "no honest site makes");
  ExpectRefused(add([&other](Advertisement& a) { a.mask_key = other.mask_key; }),
                "shows a key of site 'site-b'");
  ExpectRefused(add([&other](Advertisement& a) { a.share_key = other.mask_key; }),
                "shows a key of site 'site-b'");
  EXPECT_TRUE(add([](Advertisement&) {}).has_value());
}

class DealChecks : public testing::Test {
 protected:
  DealChecks() : sim(4, 1, 5, 72), hostile(sim, kHostile) {
    sim.Advertise({0, 1, 2});
    EXPECT_TRUE(sim.advertising->Add(hostile.Advertise()).has_value());
    EXPECT_TRUE(sim.CloseAdvertising().has_value());
    deal = hostile.MakeDeal(HostileSite::Straight);
  }
  base::Status AddResigned() {
    deal.commitments = Resigned(sim, kHostile, deal.commitments);
    return sim.sharing->Add(deal);
  }
  SimulatedFederation sim;
  HostileSite hostile;
  Deal deal;
};

TEST_F(DealChecks, ADealThatLeavesSomeoneOutIsRefused) {
  const Deal good = deal;
  deal.commitments.holders.erase(deal.commitments.holders.begin());
  ExpectRefused(AddResigned(), "not for exactly the sites of the roster");
  deal = good;
  deal.shares.pop_back();
  ExpectRefused(AddResigned(), "not for exactly the other sites");
  deal = good;
  std::swap(deal.shares[0].sealed, deal.shares[1].sealed);
  ExpectRefused(AddResigned(), "misses the hash that it signed");
  deal = good;
  EXPECT_TRUE(AddResigned().has_value());
}

TEST_F(DealChecks, AHolderChecksTheSameForItself) {
  sim.Share({0, 1, 2});
  ASSERT_TRUE(sim.sharing->Add(deal).has_value());
  ASSERT_TRUE(sim.CloseSharing().has_value());
  Delivery delivery = sim.deliveries.at(0);
  delivery.deals[3].holders.erase(delivery.deals[3].holders.begin());  // this site's own entry
  delivery.deals[3] = Resigned(sim, kHostile, delivery.deals[3]);
  const auto paired = std::move(*sim.sites[0].shared).Pair(delivery);
  ASSERT_FALSE(paired.has_value());
  EXPECT_NE(paired.error().message.find("'site-d' are not for exactly the sites"),
            std::string::npos);
}

TEST(CoordinatorChecks, ASiteThatIsNotInTheRosterDealsNothing) {
  SimulatedFederation sim(4, 1, 5, 73);
  sim.Advertise({0, 1, 2});
  ASSERT_TRUE(sim.CloseAdvertising().has_value());
  const Deal deal = HostileSite(sim, kHostile).MakeDeal(HostileSite::Straight);
  ExpectRefused(sim.sharing->Add(deal), "'site-d', which is not in the roster");
}

class UploadChecks : public testing::Test {
 protected:
  UploadChecks() : sim(4, 1, 32, 74) {
    EXPECT_TRUE(sim.RunUntil(Leaves::kBeforeUpload).has_value());
    auto step =
        std::move(*sim.sites[kHostile].paired).Mask(sim.sites[kHostile].values, sim.context);
    EXPECT_TRUE(step.has_value());
    upload.emplace(std::move(step->message));
  }
  base::Status Add(UploadChunk chunk) {
    chunk.sha256 = security::HashBytes(chunk.bytes);
    CLOISTER_RETURN_IF_ERROR(sim.uploading->Add(chunk));
    return {};
  }
  SimulatedFederation sim;
  std::optional<MaskedUpload> upload;
};

TEST_F(UploadChecks, ChunksOfWrongSizeOrAttemptAreRefused) {
  const UploadChunk good = upload->Chunk(0, 64);
  UploadChunk chunk = good;
  chunk.binding[0] ^= 1;
  ExpectRefused(Add(chunk), "another attempt or site");
  for (const std::size_t size : {0, 1, 63, 132, 4096}) {
    chunk = good;
    chunk.bytes.resize(size);
    ExpectRefused(Add(chunk), "whole words");
  }
  ASSERT_TRUE(Add(good).has_value());
  chunk = upload->Chunk(1, 64);
  chunk.bytes.resize(68);
  ExpectRefused(Add(chunk), "whole words");
  EXPECT_TRUE(Add(upload->Chunk(1, 64)).has_value());
  EXPECT_TRUE(sim.uploading->Add(upload->seal()).has_value());
}

TEST_F(UploadChecks, AnUploadThatIsNotWhatWasSignedBeginsAnew) {
  UploadChunk changed = upload->Chunk(0, 128);
  changed.bytes[5] ^= 1;
  ASSERT_TRUE(Add(changed).has_value()) << "its own hash is right";
  ExpectRefused(sim.uploading->Add(upload->seal()), "misses the hash that its seal signs");
  ASSERT_TRUE(Add(upload->Chunk(0, 128)).has_value());
  EXPECT_TRUE(sim.uploading->Add(upload->seal()).has_value());
}

TEST_F(UploadChecks, ASealOfAnotherAttemptIsRefused) {
  ASSERT_TRUE(Add(upload->Chunk(0, 128)).has_value());
  UploadSeal seal = upload->seal();
  seal.binding[0] ^= 1;
  ExpectRefused(sim.uploading->Add(Resigned(sim, kHostile, seal)), "another attempt or site");
}

TEST(CoordinatorChecks, VotesAndSharesOfOthersThanSurvivorsAreRefused) {
  SimulatedFederation sim(4, 1, 5, 75);
  sim.Advertise(sim.All());
  ASSERT_TRUE(sim.CloseAdvertising().has_value());
  sim.Share(sim.All());
  ASSERT_TRUE(sim.CloseSharing().has_value());
  sim.Pair(sim.All());
  sim.Upload({0, 1, 2}, {3});
  ASSERT_TRUE(sim.CloseUploading().has_value());
  const CommitVote lost = HostileSite(sim, kHostile).Vote({0, 1, 2});
  ExpectRefused(sim.committing->Add(lost), "'site-d', which is not a survivor");
  CommitVote elsewhere = HostileSite(sim, 0).Vote({0, 1, 2});
  elsewhere.binding[0] ^= 1;
  ExpectRefused(sim.committing->Add(Resigned(sim, 0, elsewhere)), "another attempt or roster");
  sim.Commit(sim.All());
  ASSERT_TRUE(sim.CloseCommitting().has_value());
  // A site takes no such vote from the coordinator either.
  CommitVotes votes = sim.votes;
  votes.votes.push_back(lost);
  auto refused = std::move(*sim.sites[2].committed).Reveal(votes, PastChoices{});
  ASSERT_FALSE(refused.has_value());
  sim.sites[2].committed.reset();
  sim.Reveal({0, 1});
  RevealedShares shares = *sim.sites[0].revealed;
  shares.site = kHostile;
  ExpectRefused(sim.revealing->Add(Resigned(sim, kHostile, shares)), "which is not a survivor");
  shares = *sim.sites[0].revealed;
  shares.binding[0] ^= 1;
  ExpectRefused(sim.revealing->Add(Resigned(sim, 0, shares)), "another attempt or roster");
  EXPECT_TRUE(sim.revealing->blamed().empty());
  EXPECT_FALSE(sim.Finish().has_value()) << "two of three";
}

TEST(Derivation, EveryKeyIsBoundToEverythingItShouldBe) {
  const security::X25519KeyPair a = security::GenerateX25519();
  const security::X25519KeyPair b = security::GenerateX25519();
  const Digest one = security::HashBytes(Bytes{1});
  const Digest two = security::HashBytes(Bytes{2});
  const auto pair = [&](const Digest& binding, const Digest& context, SiteIndex i, SiteIndex j) {
    return *PairMaskKey(a.private_key, b.public_key, binding, context, i, j);
  };
  EXPECT_EQ(pair(one, two, 0, 1), *PairMaskKey(b.private_key, a.public_key, one, two, 1, 0));
  EXPECT_NE(PairSign(0, 1), PairSign(1, 0));
  const auto share = [&](const Digest& binding, SiteIndex from, SiteIndex to) {
    return *ShareMessageKey(a.private_key, b.public_key, binding, from, to);
  };
  EXPECT_EQ(share(one, 0, 1), *ShareMessageKey(b.private_key, a.public_key, one, 0, 1));
  const security::SecretBytes& seed = a.private_key;
  std::set<std::string> keys;
  const auto keep = [&keys](const security::SecretBytes& key) {
    keys.insert(security::Hex(key.bytes()));
  };
  keep(pair(one, two, 0, 1));
  keep(pair(two, two, 0, 1));
  keep(pair(one, one, 0, 1));
  keep(pair(one, two, 0, 2));
  keep(share(one, 0, 1));
  keep(share(one, 1, 0));
  keep(share(two, 0, 1));
  keep(SelfMaskKey(seed, one, two, 0));
  keep(SelfMaskKey(seed, two, two, 0));
  keep(SelfMaskKey(seed, one, one, 0));
  keep(SelfMaskKey(seed, one, two, 1));
  EXPECT_EQ(keys.size(), 11U);
}

TEST(Derivation, CommitmentsAreBoundToTheirPlace) {
  const Digest one = security::HashBytes(Bytes{1});
  const Digest two = security::HashBytes(Bytes{2});
  const Bytes share(32, 7);
  const Bytes salt(32, 9);
  const security::SecretBytes seed = security::SecretBytes(ByteView(share));
  std::set<Digest> hashes = {
      ShareCommitment(one, 0, 1, ShareKind::kSeed, share, salt),
      ShareCommitment(two, 0, 1, ShareKind::kSeed, share, salt),
      ShareCommitment(one, 2, 1, ShareKind::kSeed, share, salt),
      ShareCommitment(one, 0, 2, ShareKind::kSeed, share, salt),
      ShareCommitment(one, 0, 1, ShareKind::kMaskKey, share, salt),
      ShareCommitment(one, 0, 1, ShareKind::kSeed, salt, salt),
      ShareCommitment(one, 0, 1, ShareKind::kSeed, share, share),
      SeedCommitment(one, 0, seed),
      SeedCommitment(two, 0, seed),
      SeedCommitment(one, 1, seed),
  };
  EXPECT_EQ(hashes.size(), 10U);
}

}  // namespace
}  // namespace cloister::federation::protocol
