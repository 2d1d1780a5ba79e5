#include "federation/protocol/derivation.h"

#include <algorithm>

#include "federation/protocol/message_fields.h"

namespace cloister::federation::protocol {
namespace {

constexpr std::size_t kKeyBytes = 32;

Digest Hash(const Writer& writer) { return security::HashBytes(writer.bytes()); }

}  // namespace

base::Result<security::SecretBytes> ShareMessageKey(const security::SecretBytes& own_private,
                                                    const security::X25519PublicKey& peer,
                                                    const Digest& binding, SiteIndex sender,
                                                    SiteIndex recipient) {
  CLOISTER_ASSIGN_OR_RETURN(const security::SecretBytes secret,
                            security::X25519(own_private, peer));
  Writer info;
  WriteDomain(info, "share-key");
  info.U16(sender).U16(recipient);
  return security::Hkdf(secret, binding, info.bytes(), kKeyBytes);
}

security::MessageContext ShareMessageContext(const Terms& terms, const Digest& binding,
                                             SiteIndex sender, SiteIndex recipient) {
  return {Bytes(binding.begin(), binding.end()), terms.sites.at(sender).name,
          terms.sites.at(recipient).name, "secure-sum shares"};
}

base::Result<security::SecretBytes> PairMaskKey(const security::SecretBytes& own_private,
                                                const security::X25519PublicKey& peer,
                                                const Digest& binding, const Digest& context,
                                                SiteIndex one, SiteIndex other) {
  CLOISTER_ASSIGN_OR_RETURN(const security::SecretBytes secret,
                            security::X25519(own_private, peer));
  Writer info;
  WriteDomain(info, "pair-mask");
  info.U16(std::min(one, other)).U16(std::max(one, other)).Fixed(context);
  return security::Hkdf(secret, binding, info.bytes(), kKeyBytes);
}

aggregation::MaskSign PairSign(SiteIndex self, SiteIndex peer) {
  return self < peer ? aggregation::MaskSign::kAdd : aggregation::MaskSign::kSubtract;
}

aggregation::MaskSign Opposite(aggregation::MaskSign sign) {
  return sign == aggregation::MaskSign::kAdd ? aggregation::MaskSign::kSubtract
                                             : aggregation::MaskSign::kAdd;
}

security::SecretBytes SelfMaskKey(const security::SecretBytes& seed, const Digest& binding,
                                  const Digest& context, SiteIndex site) {
  Writer info;
  WriteDomain(info, "self-mask");
  info.U16(site).Fixed(context);
  return security::Hkdf(seed, binding, info.bytes(), kKeyBytes);
}

Digest SeedCommitment(const Digest& binding, SiteIndex dealer, const security::SecretBytes& seed) {
  Writer info;
  WriteDomain(info, "seed-salt");
  info.U16(dealer);
  const security::SecretBytes salt = security::Hkdf(seed, binding, info.bytes(), kKeyBytes);
  security::Sha256 hash;
  Writer prefix;
  WriteDomain(prefix, "seed-commitment");
  prefix.Fixed(binding).U16(dealer);
  hash.Update(prefix.bytes()).Update(salt.bytes()).Update(seed.bytes());
  return hash.Finish();
}

Digest ShareCommitment(const Digest& binding, SiteIndex dealer, SiteIndex holder, ShareKind kind,
                       ByteView share, ByteView salt) {
  security::Sha256 hash;
  Writer prefix;
  WriteDomain(prefix, "share-commitment");
  prefix.Fixed(binding).U16(dealer).U16(holder).U8(static_cast<std::uint8_t>(kind));
  hash.Update(prefix.bytes()).Update(salt).Update(share);
  return hash.Finish();
}

Digest Binding(const AttemptId& attempt, const Roster& roster) {
  Writer writer;
  WriteDomain(writer, "binding");
  WriteAttempt(writer, attempt);
  writer.Fixed(security::HashBytes(Encode(roster)));
  return Hash(writer);
}

Digest SharingHash(const Digest& binding, const std::vector<DealCommitments>& deals) {
  Writer writer;
  WriteDomain(writer, "sharing");
  writer.Fixed(binding).U32(static_cast<std::uint32_t>(deals.size()));
  for (const DealCommitments& deal : deals) {
    writer.U16(deal.dealer).Fixed(security::HashBytes(SignedBytes(deal)));
  }
  return Hash(writer);
}

Digest AgreementHash(const Digest& binding, const Digest& sharing, const Digest& context) {
  Writer writer;
  WriteDomain(writer, "agreement");
  writer.Fixed(binding).Fixed(sharing).Fixed(context);
  return Hash(writer);
}

}  // namespace cloister::federation::protocol
