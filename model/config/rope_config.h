#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

#include "base/result.h"
#include "model/config/config_fields.h"
#include "model/rope.h"

namespace cloister::model {

// The rope of a config.json: rope_parameters (transformers 5), or rope_theta and rope_scaling (4).
// The layout is left as it is. kUnimplemented, naming it, for an unknown type or parameter.
base::Result<Rope> RopeFromConfig(ConfigFields& config, std::int64_t max_positions);

// Adds rope_parameters and, for readers older than that, rope_theta and rope_scaling.
// kUnimplemented for divisors, which config.json has no words for.
base::Status AddRope(const Rope& rope, nlohmann::ordered_json& config);

}  // namespace cloister::model
