#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

#include "base/result.h"
#include "dp/mechanism/privacy_types.h"

namespace cloister::dp {

// One kind of release, `steps` times: what the ledger stores and accountants compose. A Gaussian
// whose draw is Poisson-sampled at `sampling_rate` (1: every unit), with standard deviation
// noise_multiplier * sensitivity.
struct Event {
  double noise_multiplier = 0;
  double sampling_rate = 0;
  std::int64_t steps = 0;
  Neighbours neighbours{};
  // Probability by which the mechanism that ran may differ from the ideal one (total variation of
  // the sampler, aliasing of the lattice), over all steps: taken from δ before ε is computed.
  double delta_slack = 0;

  friend bool operator==(const Event&, const Event&) = default;
};

base::Status Validate(const Event& event);
nlohmann::json ToJson(const Event& event);
base::Result<Event> EventFromJson(const nlohmann::json& json);

}  // namespace cloister::dp
