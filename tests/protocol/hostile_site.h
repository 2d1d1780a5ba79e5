#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "tests/protocol/simulated_federation.h"

namespace cloister::federation::protocol {

// A site that holds its keys in the open and follows the protocol except where a test tells it not
// to: it stands in for one index of a SimulatedFederation.
class HostileSite {
 public:
  HostileSite(SimulatedFederation& federation, SiteIndex self);

  Advertisement Advertise() const;

  // What it shares out: `bend` may change each holder's shares before they are committed to
  // (`after` false) or after (true).
  using Bend = std::function<void(SiteIndex holder, bool after, HeldShares& shares)>;
  Deal MakeDeal(const Bend& bend) const;

  // The masks it puts on its values; the honest ones are all pairs and its own.
  MaskedUpload Upload(const std::vector<SiteIndex>& peers, bool self_mask) const;
  CommitVote Vote(const std::vector<SiteIndex>& survivors) const;

  // An honest deal.
  static void Straight(SiteIndex holder, bool after, HeldShares& shares);

 private:
  template <typename Message>
  Message Signed(Message message) const;

  SimulatedFederation& federation_;
  SiteIndex self_;
  security::X25519KeyPair share_keys_;
  security::X25519KeyPair mask_keys_;
  security::SecretBytes seed_;
};

// Signs a changed message anew with a site's identity key.
template <typename Message>
Message Resigned(const SimulatedFederation& federation, SiteIndex site, Message message) {
  message.signature = security::SignEd25519(*federation.sites[site].identity, SignedBytes(message));
  return message;
}

}  // namespace cloister::federation::protocol
