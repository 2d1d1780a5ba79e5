#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/result.h"
#include "dp/mechanism/privacy_types.h"

namespace cloister::dp {

// What is added to a sum. The discrete Gaussian gives every whole number k a probability
// proportional to exp(-k² / (2 sigma²)).
enum class Mechanism { kGaussian, kLaplace, kDiscreteGaussian };

// One kind of release, `steps` times: what the ledger stores and accountants compose. The sum is of
// a Poisson sample that holds every unit with probability `sampling_rate` (1: every unit);
// noise_multiplier is the Gaussian's standard deviation, the Laplace's scale or the discrete
// Gaussian's sigma, over the sensitivity.
struct Event {
  double noise_multiplier = 0;
  double sampling_rate = 0;
  std::int64_t steps = 0;
  Neighbours neighbours{};
  // Probability by which the mechanism that ran may differ from the ideal one (total variation of
  // the sampler, aliasing of the lattice), over all steps: taken from δ before ε is computed.
  double delta_slack = 0;
  Mechanism mechanism = Mechanism::kGaussian;
  // A whole number. Told for a discrete Gaussian alone, whose privacy depends on it beside the
  // ratio; 1 for any other.
  double sensitivity = 1;

  friend bool operator==(const Event&, const Event&) = default;
};

std::string_view MechanismName(Mechanism mechanism);  // "gaussian", "laplace", …
double Sigma(const Event& event);                     // noise_multiplier times sensitivity

base::Status Validate(const Event& event);
// Readable fields; `sensitivity` only for a discrete Gaussian.
nlohmann::json ToJson(const Event& event);
base::Result<Event> EventFromJson(const nlohmann::json& json);

}  // namespace cloister::dp
