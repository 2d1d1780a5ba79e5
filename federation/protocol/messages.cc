#include "federation/protocol/messages.h"

#include <utility>

#include "federation/protocol/message_fields.h"

namespace cloister::federation::protocol {
namespace {

// First field of each message on the wire.
enum Tag : std::uint16_t {
  kAdvertisement = 0xc101,
  kRoster = 0xc102,
  kDeal = 0xc103,
  kDelivery = 0xc104,
  kUploadChunk = 0xc105,
  kUploadSeal = 0xc106,
  kSurvivorSet = 0xc107,
  kCommitVote = 0xc108,
  kCommitVotes = 0xc109,
  kRevealedShares = 0xc10a,
};

constexpr std::size_t kAdvertisementBytes = 48 + 2 + 64 + 64;
constexpr std::size_t kSmallestCommitments = 32 + 2 + 32 + 4 + 64;
constexpr std::size_t kSmallestVote = 64 + 4 + 2 + 64;
constexpr std::size_t kRevealedShareBytes = 2 + 1 + 64;

template <typename Message>
Bytes EncodeSigned(Tag tag, const Message& message) {
  Writer writer;
  writer.U16(tag);
  WriteBody(writer, message);
  writer.Fixed(message.signature);
  return std::move(writer).Take();
}

template <typename Message>
Bytes SignedBody(std::string_view domain, const Message& message) {
  Writer writer;
  WriteDomain(writer, domain);
  WriteBody(writer, message);
  return std::move(writer).Take();
}

template <typename Message>
base::Result<Message> Finish(const Reader& reader, Message message) {
  CLOISTER_RETURN_IF_ERROR(reader.Finish());
  return message;
}

void WriteCommitments(Writer& writer, const DealCommitments& commitments) {
  WriteBody(writer, commitments);
  writer.Fixed(commitments.signature);
}

}  // namespace

Bytes Encode(const Advertisement& message) { return EncodeSigned(kAdvertisement, message); }
Bytes Encode(const UploadSeal& message) { return EncodeSigned(kUploadSeal, message); }
Bytes Encode(const CommitVote& message) { return EncodeSigned(kCommitVote, message); }
Bytes Encode(const RevealedShares& message) { return EncodeSigned(kRevealedShares, message); }

Bytes Encode(const Roster& message) {
  Writer writer;
  writer.U16(kRoster).U32(static_cast<std::uint32_t>(message.entries.size()));
  for (const Advertisement& entry : message.entries) {
    WriteBody(writer, entry);
    writer.Fixed(entry.signature);
  }
  return std::move(writer).Take();
}

Bytes Encode(const Deal& message) {
  Writer writer;
  writer.U16(kDeal);
  WriteCommitments(writer, message.commitments);
  WriteShares(writer, message.shares);
  return std::move(writer).Take();
}

Bytes Encode(const Delivery& message) {
  Writer writer;
  writer.U16(kDelivery).Fixed(message.binding).U16(message.recipient);
  writer.U32(static_cast<std::uint32_t>(message.deals.size()));
  for (const DealCommitments& deal : message.deals) WriteCommitments(writer, deal);
  WriteShares(writer, message.shares);
  return std::move(writer).Take();
}

Bytes Encode(const UploadChunk& message) {
  Writer writer;
  writer.U16(kUploadChunk).Fixed(message.binding).U16(message.site).U64(message.offset);
  writer.Fixed(message.sha256).String(ByteView(message.bytes));
  return std::move(writer).Take();
}

Bytes Encode(const SurvivorSet& message) {
  Writer writer;
  writer.U16(kSurvivorSet).Fixed(message.binding);
  WriteSites(writer, message.survivors);
  return std::move(writer).Take();
}

Bytes Encode(const CommitVotes& message) {
  Writer writer;
  writer.U16(kCommitVotes).Fixed(message.binding);
  writer.U32(static_cast<std::uint32_t>(message.votes.size()));
  for (const CommitVote& vote : message.votes) {
    WriteBody(writer, vote);
    writer.Fixed(vote.signature);
  }
  return std::move(writer).Take();
}

base::Result<Advertisement> DecodeAdvertisement(ByteView bytes) {
  Reader reader(bytes, "advertisement");
  reader.Expect(kAdvertisement);
  Advertisement message = ReadAdvertisement(reader);
  return Finish(reader, message);
}

base::Result<Roster> DecodeRoster(ByteView bytes) {
  Reader reader(bytes, "roster");
  reader.Expect(kRoster);
  Roster message;
  message.entries.resize(reader.Count(kMaximumSites, kAdvertisementBytes));
  SiteIndex previous = 0;
  for (std::size_t i = 0; i < message.entries.size(); ++i) {
    message.entries[i] = ReadAdvertisement(reader);
    ExpectAscending(reader, i, previous, message.entries[i].site);
    previous = message.entries[i].site;
  }
  return Finish(reader, std::move(message));
}

base::Result<Deal> DecodeDeal(ByteView bytes) {
  Reader reader(bytes, "share message");
  reader.Expect(kDeal);
  Deal message;
  message.commitments = ReadDealCommitments(reader);
  message.shares = ReadShares(reader);
  return Finish(reader, std::move(message));
}

base::Result<Delivery> DecodeDelivery(ByteView bytes) {
  Reader reader(bytes, "share delivery");
  reader.Expect(kDelivery);
  Delivery message;
  message.binding = reader.Array<32>();
  message.recipient = ReadSite(reader);
  message.deals.resize(reader.Count(kMaximumSites, kSmallestCommitments));
  SiteIndex previous = 0;
  for (std::size_t i = 0; i < message.deals.size(); ++i) {
    message.deals[i] = ReadDealCommitments(reader);
    ExpectAscending(reader, i, previous, message.deals[i].dealer);
    previous = message.deals[i].dealer;
  }
  message.shares = ReadShares(reader);
  return Finish(reader, std::move(message));
}

base::Result<UploadChunk> DecodeUploadChunk(ByteView bytes) {
  Reader reader(bytes, "upload chunk");
  reader.Expect(kUploadChunk);
  UploadChunk message;
  message.binding = reader.Array<32>();
  message.site = ReadSite(reader);
  message.offset = reader.U64();
  message.sha256 = reader.Array<32>();
  message.bytes = reader.String(kMaximumChunkBytes);
  return Finish(reader, std::move(message));
}

base::Result<UploadSeal> DecodeUploadSeal(ByteView bytes) {
  Reader reader(bytes, "upload seal");
  reader.Expect(kUploadSeal);
  UploadSeal message;
  message.binding = reader.Array<32>();
  message.site = ReadSite(reader);
  message.words = reader.U64();
  message.sha256 = reader.Array<32>();
  message.signature = reader.Array<64>();
  return Finish(reader, message);
}

base::Result<SurvivorSet> DecodeSurvivorSet(ByteView bytes) {
  Reader reader(bytes, "survivor set");
  reader.Expect(kSurvivorSet);
  SurvivorSet message;
  message.binding = reader.Array<32>();
  message.survivors = ReadSites(reader);
  return Finish(reader, std::move(message));
}

base::Result<CommitVote> DecodeCommitVote(ByteView bytes) {
  Reader reader(bytes, "commit vote");
  reader.Expect(kCommitVote);
  CommitVote message = ReadCommitVote(reader);
  return Finish(reader, std::move(message));
}

base::Result<CommitVotes> DecodeCommitVotes(ByteView bytes) {
  Reader reader(bytes, "commit votes");
  reader.Expect(kCommitVotes);
  CommitVotes message;
  message.binding = reader.Array<32>();
  message.votes.resize(reader.Count(kMaximumSites, kSmallestVote));
  SiteIndex previous = 0;
  for (std::size_t i = 0; i < message.votes.size(); ++i) {
    message.votes[i] = ReadCommitVote(reader);
    ExpectAscending(reader, i, previous, message.votes[i].site);
    previous = message.votes[i].site;
  }
  return Finish(reader, std::move(message));
}

base::Result<RevealedShares> DecodeRevealedShares(ByteView bytes) {
  Reader reader(bytes, "revealed shares");
  reader.Expect(kRevealedShares);
  RevealedShares message;
  message.binding = reader.Array<32>();
  message.site = ReadSite(reader);
  message.shares.resize(reader.Count(kMaximumSites, kRevealedShareBytes));
  SiteIndex previous = 0;
  for (std::size_t i = 0; i < message.shares.size(); ++i) {
    RevealedShare& entry = message.shares[i];
    entry.dealer = ReadSite(reader);
    ExpectAscending(reader, i, previous, entry.dealer);
    previous = entry.dealer;
    const std::uint8_t kind = reader.U8();
    if (kind != 1 && kind != 2) reader.Fail("a share is of no known kind");
    entry.kind = static_cast<ShareKind>(kind);
    entry.share = reader.Array<kSecretBytes>();
    entry.salt = reader.Array<kSecretBytes>();
  }
  message.signature = reader.Array<64>();
  return Finish(reader, std::move(message));
}

Bytes SignedBytes(const Advertisement& message) { return SignedBody("advertise", message); }
Bytes SignedBytes(const DealCommitments& message) { return SignedBody("deal", message); }
Bytes SignedBytes(const UploadSeal& message) { return SignedBody("upload", message); }
Bytes SignedBytes(const CommitVote& message) { return SignedBody("commit", message); }
Bytes SignedBytes(const RevealedShares& message) { return SignedBody("reveal", message); }

}  // namespace cloister::federation::protocol
