#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "security/primitives.h"

namespace cloister::federation::protocol {

// What the signed job fixes for the secure sum, before anyone is online. Nothing here is ever
// recomputed from who is present.

// A site's place in the job's list of sites, 0 … n − 1. Its Shamir coordinate is the place plus
// one.
using SiteIndex = std::uint16_t;

// Above this the complete graph gives way to a sparse one.
inline constexpr std::uint32_t kMaximumSites = 200;
// The fewest contributions that may be summed, whatever the job says.
inline constexpr std::uint32_t kMinimumCohort = 3;
// The most words (32 bits each) of one vector: 4 GiB.
inline constexpr std::uint64_t kMaximumWords = std::uint64_t{1} << 30;

struct Parameters {
  std::uint32_t sites = 0;           // n
  std::uint32_t threshold = 0;       // t = floor(2n / 3) + 1
  std::uint32_t colluders = 0;       // c: may collude with each other and with the coordinator
  std::uint32_t minimum_cohort = 0;  // the job's own floor, at least kMinimumCohort

  friend bool operator==(const Parameters&, const Parameters&) = default;
};

std::uint32_t ThresholdOf(std::uint32_t sites);
Parameters ParametersFor(std::uint32_t sites, std::uint32_t colluders,
                         std::uint32_t minimum_cohort);

// kInvalidArgument unless 3 <= n <= kMaximumSites, t = ThresholdOf(n), 2t > n + c (two survivor
// sets cannot both gather t signatures without an honest site signing both), t − c >= 2 (a sum
// holds at least two honest contributions) and 3 <= minimum_cohort <= n.
base::Status Validate(const Parameters& parameters);

// The fewest sites in the cohort and in the survivor set: max(t, minimum_cohort).
std::uint32_t SmallestCohort(const Parameters& parameters);

struct SiteIdentity {
  std::string name;  // 1 … 64 bytes, unique within the job
  security::Ed25519PublicKey key;

  friend bool operator==(const SiteIdentity&, const SiteIdentity&) = default;
};

struct Terms {
  security::Sha256Digest job;  // hash of the signed job
  Parameters parameters;
  std::vector<SiteIdentity> sites;  // n, in the job's order
  std::uint64_t words = 0;          // d: length of the summed vector, 1 … kMaximumWords
};

// kInvalidArgument naming the field: the parameters as above, a name that is empty, too long or
// twice there, a key twice there, or a wrong number of sites or words.
base::Status Validate(const Terms& terms);

struct AttemptId {
  security::Sha256Digest job;
  std::uint64_t round = 0;
  std::uint64_t attempt = 0;

  friend auto operator<=>(const AttemptId&, const AttemptId&) = default;
};

// What every site must have seen alike before its masks cancel: public figures, so that the
// coordinator can rebuild a lost site's masks.
struct RoundContext {
  security::Sha256Digest model;  // the parameters sent to the sites in this round
  security::Sha256Digest plan;   // the training plan
  std::uint64_t round = 0;
  security::Sha256Digest quantizer;  // lattice spacing, clip norm and what else makes the integers
};
security::Sha256Digest HashContext(const RoundContext& context);

}  // namespace cloister::federation::protocol
