#include "federation/protocol/message_fields.h"

#include <string>

namespace cloister::federation::protocol {
namespace {

// Sizes of list entries on the wire.
constexpr std::size_t kHolderBytes = 2 + 3 * 32;
constexpr std::size_t kSmallestSealedShares = 2 + 4;

}  // namespace

void WriteDomain(Writer& writer, std::string_view name) {
  writer.String("cloister/secure-sum/1/" + std::string(name));
}

void WriteAttempt(Writer& writer, const AttemptId& attempt) {
  writer.Fixed(attempt.job).U64(attempt.round).U64(attempt.attempt);
}

void WriteSites(Writer& writer, const std::vector<SiteIndex>& sites) {
  writer.U32(static_cast<std::uint32_t>(sites.size()));
  for (const SiteIndex site : sites) writer.U16(site);
}

void WriteShares(Writer& writer, const std::vector<SealedShares>& shares) {
  writer.U32(static_cast<std::uint32_t>(shares.size()));
  for (const SealedShares& entry : shares) {
    writer.U16(entry.site).String(ByteView(entry.sealed));
  }
}

void WriteBody(Writer& writer, const Advertisement& message) {
  WriteAttempt(writer, message.attempt);
  writer.U16(message.site).Fixed(message.share_key).Fixed(message.mask_key);
}

void WriteBody(Writer& writer, const DealCommitments& message) {
  writer.Fixed(message.binding).U16(message.dealer).Fixed(message.seed);
  writer.U32(static_cast<std::uint32_t>(message.holders.size()));
  for (const HolderCommitment& entry : message.holders) {
    writer.U16(entry.holder).Fixed(entry.mask_share).Fixed(entry.seed_share).Fixed(entry.sealed);
  }
}

void WriteBody(Writer& writer, const UploadSeal& message) {
  writer.Fixed(message.binding).U16(message.site).U64(message.words).Fixed(message.sha256);
}

void WriteBody(Writer& writer, const CommitVote& message) {
  writer.Fixed(message.binding).Fixed(message.agreement);
  WriteSites(writer, message.survivors);
  writer.U16(message.site);
}

void WriteBody(Writer& writer, const RevealedShares& message) {
  writer.Fixed(message.binding).U16(message.site);
  writer.U32(static_cast<std::uint32_t>(message.shares.size()));
  for (const RevealedShare& entry : message.shares) {
    writer.U16(entry.dealer).U8(static_cast<std::uint8_t>(entry.kind));
    writer.Fixed(entry.share).Fixed(entry.salt);
  }
}

void ExpectAscending(Reader& reader, std::size_t index, SiteIndex previous, SiteIndex next) {
  if (index != 0 && next <= previous) reader.Fail("a list of sites is not ascending");
}

AttemptId ReadAttempt(Reader& reader) {
  AttemptId attempt;
  attempt.job = reader.Array<32>();
  attempt.round = reader.U64();
  attempt.attempt = reader.U64();
  return attempt;
}

SiteIndex ReadSite(Reader& reader) {
  const SiteIndex site = reader.U16();
  if (site >= kMaximumSites) reader.Fail("a site's index is out of range");
  return site;
}

Advertisement ReadAdvertisement(Reader& reader) {
  Advertisement message;
  message.attempt = ReadAttempt(reader);
  message.site = ReadSite(reader);
  message.share_key = reader.Array<32>();
  message.mask_key = reader.Array<32>();
  message.signature = reader.Array<64>();
  return message;
}

DealCommitments ReadDealCommitments(Reader& reader) {
  DealCommitments message;
  message.binding = reader.Array<32>();
  message.dealer = ReadSite(reader);
  message.seed = reader.Array<32>();
  const std::uint32_t count = reader.Count(kMaximumSites, kHolderBytes);
  message.holders.resize(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    HolderCommitment& entry = message.holders[i];
    entry.holder = ReadSite(reader);
    ExpectAscending(reader, i, i == 0 ? SiteIndex{0} : message.holders[i - 1].holder, entry.holder);
    entry.mask_share = reader.Array<32>();
    entry.seed_share = reader.Array<32>();
    entry.sealed = reader.Array<32>();
  }
  message.signature = reader.Array<64>();
  return message;
}

CommitVote ReadCommitVote(Reader& reader) {
  CommitVote message;
  message.binding = reader.Array<32>();
  message.agreement = reader.Array<32>();
  message.survivors = ReadSites(reader);
  message.site = ReadSite(reader);
  message.signature = reader.Array<64>();
  return message;
}

std::vector<SiteIndex> ReadSites(Reader& reader) {
  std::vector<SiteIndex> sites(reader.Count(kMaximumSites, 2));
  for (std::size_t i = 0; i < sites.size(); ++i) {
    sites[i] = ReadSite(reader);
    ExpectAscending(reader, i, i == 0 ? SiteIndex{0} : sites[i - 1], sites[i]);
  }
  return sites;
}

std::vector<SealedShares> ReadShares(Reader& reader) {
  std::vector<SealedShares> shares(reader.Count(kMaximumSites, kSmallestSealedShares));
  for (std::size_t i = 0; i < shares.size(); ++i) {
    shares[i].site = ReadSite(reader);
    ExpectAscending(reader, i, i == 0 ? SiteIndex{0} : shares[i - 1].site, shares[i].site);
    shares[i].sealed = reader.String(kMaximumSealedBytes);
  }
  return shares;
}

}  // namespace cloister::federation::protocol
