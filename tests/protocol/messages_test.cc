// The wire decoders meet hostile bytes: truncated, lengthened and changed messages give an error or
// a message whose only encoding is those very bytes.

#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <string>

#include "tests/protocol/simulated_federation.h"

namespace cloister::federation::protocol {
namespace {

struct Sample {
  std::string name;
  Bytes bytes;
  // The encoding of what the bytes decode to; nothing when they are refused.
  std::function<std::optional<Bytes>(ByteView)> reencode;
};

template <typename Message>
Sample Make(const std::string& name, const Message& message,
            base::Result<Message> (*decode)(ByteView)) {
  return {name, Encode(message), [decode](ByteView bytes) -> std::optional<Bytes> {
            const auto decoded = decode(bytes);
            if (decoded) return Encode(*decoded);
            EXPECT_EQ(decoded.error().code, base::Code::kDataLoss);
            return std::nullopt;
          }};
}

// One of every message, as a federation really sends it.
std::vector<Sample> Samples() {
  SimulatedFederation sim(4, 1, 37, 61);
  const Advertisement advertisement = [&sim] {
    sim.Advertise(sim.All());
    return sim.sites[2].advertised->advertisement();
  }();
  EXPECT_TRUE(sim.CloseAdvertising().has_value());
  auto step = std::move(*sim.sites[0].advertised).Share(sim.roster);
  EXPECT_TRUE(step.has_value());
  EXPECT_TRUE(sim.sharing->Add(step->message).has_value());
  sim.sites[0].advertised.reset();
  sim.sites[0].shared = std::move(step->state);
  sim.Share(sim.All());
  EXPECT_TRUE(sim.CloseSharing().has_value());
  sim.Pair(sim.All());
  sim.Upload({0, 1, 2}, {3});
  EXPECT_TRUE(sim.CloseUploading().has_value());
  sim.Commit(sim.All());
  EXPECT_TRUE(sim.CloseCommitting().has_value());
  sim.Reveal(sim.All());
  const SimulatedSite& site = sim.sites[0];
  std::vector<Sample> samples;
  samples.push_back(Make("advertisement", advertisement, DecodeAdvertisement));
  samples.push_back(Make("roster", sim.roster, DecodeRoster));
  samples.push_back(Make("deal", step->message, DecodeDeal));
  samples.push_back(Make("delivery", sim.deliveries.at(1), DecodeDelivery));
  samples.push_back(Make("chunk", site.upload->Chunk(0, 64), DecodeUploadChunk));
  samples.push_back(Make("seal", site.upload->seal(), DecodeUploadSeal));
  samples.push_back(Make("survivors", sim.survivor_set, DecodeSurvivorSet));
  samples.push_back(Make("vote", *site.vote, DecodeCommitVote));
  samples.push_back(Make("votes", sim.votes, DecodeCommitVotes));
  samples.push_back(Make("reveal", *site.revealed, DecodeRevealedShares));
  return samples;
}

TEST(Messages, EncodingIsCanonicalAndNoKindReadsAsAnother) {
  const std::vector<Sample> samples = Samples();
  for (const Sample& sample : samples) {
    for (const Sample& other : samples) {
      const auto again = other.reencode(sample.bytes);
      EXPECT_EQ(again.has_value(), &sample == &other) << sample.name << " as " << other.name;
      if (again) {
        EXPECT_EQ(*again, sample.bytes);
      }
    }
  }
}

TEST(Messages, TruncatedAtEveryByteIsAnError) {
  for (const Sample& sample : Samples()) {
    for (std::size_t size = 0; size < sample.bytes.size(); ++size) {
      // A copy of its own, so that a read past the end is one past an allocation.
      const Bytes cut(sample.bytes.begin(), sample.bytes.begin() + static_cast<long>(size));
      EXPECT_FALSE(sample.reencode(cut).has_value()) << sample.name << " at " << size;
    }
  }
}

TEST(Messages, TrailingBytesAreAnError) {
  for (const Sample& sample : Samples()) {
    Bytes longer = sample.bytes;
    longer.push_back(0);
    EXPECT_FALSE(sample.reencode(longer).has_value()) << sample.name;
  }
}

TEST(Messages, EveryChangedByteIsAnErrorOrThoseVeryBytes) {
  for (const Sample& sample : Samples()) {
    for (std::size_t at = 0; at < sample.bytes.size(); ++at) {
      for (const std::uint8_t change : {0x01, 0x80, 0xff}) {
        Bytes changed = sample.bytes;
        changed[at] ^= change;
        const auto again = sample.reencode(changed);
        if (again) {
          EXPECT_EQ(*again, changed) << sample.name << " at " << at;
        }
      }
    }
  }
}

TEST(Messages, RandomMutationsAndNoiseNeverDoMore) {
  constexpr std::uint32_t kSeed = 20240612;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  std::mt19937 random(kSeed);
  for (const Sample& sample : Samples()) {
    for (int round = 0; round < 2000; ++round) {
      Bytes changed = sample.bytes;
      for (std::uint32_t i = 0; i <= random() % 4; ++i) {
        const std::size_t at = random() % changed.size();
        switch (random() % 4) {
          case 0:
            changed[at] = static_cast<std::uint8_t>(random());
            break;
          case 1:
            changed.erase(changed.begin() + static_cast<long>(at));
            break;
          case 2:
            changed.insert(changed.begin() + static_cast<long>(at),
                           static_cast<std::uint8_t>(random()));
            break;
          default:  // a length field, as likely as not
            for (std::size_t k = at; k < std::min(at + 4, changed.size()); ++k) changed[k] = 0xff;
        }
      }
      const auto again = sample.reencode(changed);
      if (again) {
        EXPECT_EQ(*again, changed) << sample.name;
      }
    }
  }
}

TEST(Messages, ListsOutOfOrderAndOutOfRangeAreErrors) {
  const auto refused = [](std::vector<SiteIndex> sites) {
    return !DecodeSurvivorSet(Encode(SurvivorSet{{}, std::move(sites)})).has_value();
  };
  EXPECT_FALSE(refused({0, 5, 199}));
  EXPECT_FALSE(refused({}));
  EXPECT_TRUE(refused({1, 0}));
  EXPECT_TRUE(refused({1, 1}));
  EXPECT_TRUE(refused({200}));
  UploadChunk chunk;
  chunk.bytes.resize(kMaximumChunkBytes);
  EXPECT_TRUE(DecodeUploadChunk(Encode(chunk)).has_value());
  chunk.bytes.resize(kMaximumChunkBytes + 1);
  EXPECT_FALSE(DecodeUploadChunk(Encode(chunk)).has_value());
}

TEST(Messages, SignedBytesOfDifferentKindsDiffer) {
  EXPECT_NE(SignedBytes(Advertisement{}), SignedBytes(UploadSeal{}));
  EXPECT_NE(SignedBytes(CommitVote{}), SignedBytes(RevealedShares{}));
  CommitVote one{{}, {}, {0, 1, 2}, 3, {}};
  CommitVote other{{}, {}, {0, 1}, 2, {}};
  EXPECT_NE(SignedBytes(one), SignedBytes(other));
}

}  // namespace
}  // namespace cloister::federation::protocol
