#pragma once

#include <cstdint>

#include "base/result.h"
#include "dp/mechanism/event.h"
#include "federation/job/job.h"

namespace cloister::federation::job {

// What a job must keep to, checked by the submitter and again by the coordinator and every site.

// kInvalidArgument naming the field and how to mend it: names and hashes well formed; threshold
// t = floor(2n/3) + 1 with 2t > n + c and t − c >= 2; a lattice fine enough for each site's own
// noise share (g <= sigma C / (64 sqrt(t − c))); sums that cannot wrap 32-bit words for any adapter
// that the lattice allows; the whole job's ε at most max_epsilon. kUnimplemented for a privacy mode
// other than `distributed`.
base::Status Validate(const Job& job);

// Further, for the adapter's real size d: g sqrt(d) <= 0.01 C, no wrap-around, ε.
base::Status ValidateFor(const Job& job, std::int64_t parameters);

// The largest adapter with g sqrt(d) <= 0.0099 C: of the 1 % that the mechanism allows a little is
// left for the error of summation.
std::int64_t LargestAdapter(const PrivacyPlan& privacy);

// Probability that any word of any round wraps, as Validate allows for.
inline constexpr double kWrapProbability = 1e-9;

// Shares of noise that any allowed set of survivors is sure to hold: t − c.
std::int64_t NoiseShares(const Job& job);

struct JobPrivacy {
  double epsilon = 0;        // of the whole job at privacy.delta, at most c colluders (RDP)
  double epsilon_alone = 0;  // with one site's own noise alone; may be infinite
  dp::Event event;           // all rounds
};
// For an adapter of `parameters` values; more values, more ε.
base::Result<JobPrivacy> PrivacyOf(const Job& job, std::int64_t parameters);

}  // namespace cloister::federation::job
