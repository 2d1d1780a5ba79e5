#pragma once

#include <string_view>
#include <vector>

#include "federation/protocol/encoding.h"
#include "federation/protocol/messages.h"

namespace cloister::federation::protocol {

// Pieces that several messages share: what stands in a message after its tag. A Write… of a signed
// message writes all but the signature, so that the same bytes travel and are signed.

void WriteAttempt(Writer& writer, const AttemptId& attempt);
void WriteBody(Writer& writer, const Advertisement& message);
void WriteBody(Writer& writer, const DealCommitments& message);
void WriteBody(Writer& writer, const UploadSeal& message);
void WriteBody(Writer& writer, const CommitVote& message);
void WriteBody(Writer& writer, const RevealedShares& message);
void WriteSites(Writer& writer, const std::vector<SiteIndex>& sites);
void WriteShares(Writer& writer, const std::vector<SealedShares>& shares);

AttemptId ReadAttempt(Reader& reader);
SiteIndex ReadSite(Reader& reader);
Advertisement ReadAdvertisement(Reader& reader);
DealCommitments ReadDealCommitments(Reader& reader);
CommitVote ReadCommitVote(Reader& reader);
std::vector<SiteIndex> ReadSites(Reader& reader);
std::vector<SealedShares> ReadShares(Reader& reader);

// "cloister/secure-sum/1/" and the name: the first field of everything hashed or signed.
void WriteDomain(Writer& writer, std::string_view name);

// Fails the reader unless `next` comes after `previous` (of a list with `index` entries before it).
void ExpectAscending(Reader& reader, std::size_t index, SiteIndex previous, SiteIndex next);

}  // namespace cloister::federation::protocol
