#pragma once

#include "base/result.h"
#include "federation/aggregation/mask.h"
#include "federation/protocol/messages.h"
#include "security/primitives.h"
#include "security/secret_bytes.h"

namespace cloister::federation::protocol {

// Every key and hash of an attempt, each under a domain name of its own, all bound to the attempt
// and its roster. Thread-safe.

// The key of one message, from `sender` to `recipient`: each direction has its own.
// kInvalidArgument for a peer key of low order, here and below.
base::Result<security::SecretBytes> ShareMessageKey(const security::SecretBytes& own_private,
                                                    const security::X25519PublicKey& peer,
                                                    const Digest& binding, SiteIndex sender,
                                                    SiteIndex recipient);

// What a share message is bound to beside its key. Names are those of the job.
security::MessageContext ShareMessageContext(const Terms& terms, const Digest& binding,
                                             SiteIndex sender, SiteIndex recipient);

// The key of the mask that two sites share, the same from either side.
base::Result<security::SecretBytes> PairMaskKey(const security::SecretBytes& own_private,
                                                const security::X25519PublicKey& peer,
                                                const Digest& binding, const Digest& context,
                                                SiteIndex one, SiteIndex other);

// The sign with which `self` applies the mask that it shares with `peer`: opposite at the two ends.
aggregation::MaskSign PairSign(SiteIndex self, SiteIndex peer);
aggregation::MaskSign Opposite(aggregation::MaskSign sign);

// The key of a site's own mask.
security::SecretBytes SelfMaskKey(const security::SecretBytes& seed, const Digest& binding,
                                  const Digest& context, SiteIndex site);

// The salt comes from the seed itself, by HKDF, so that whoever rebuilds the seed can check it.
Digest SeedCommitment(const Digest& binding, SiteIndex dealer, const security::SecretBytes& seed);
Digest ShareCommitment(const Digest& binding, SiteIndex dealer, SiteIndex holder, ShareKind kind,
                       ByteView share, ByteView salt);

}  // namespace cloister::federation::protocol
