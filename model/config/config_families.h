#pragma once

#include <string>

#include "base/result.h"
#include "model/architecture.h"
#include "model/config/config_fields.h"

namespace cloister::model {

// The parts of reading a config.json, a file each. All errors name the field.

enum class Family { kLlama, kMistral, kQwen2, kQwen3, kDeepSeekV2, kDeepSeekV3 };

// Fields of transformers' configurations that say nothing about the forward pass: training,
// generation, bookkeeping.
void IgnoreFieldsWithoutEffect(ConfigFields& fields);

// kDataLoss: fields that cannot be true together.
tl::unexpected<base::Error> Contradiction(const std::string& what);
// kUnimplemented unless the field is absent or `value`.
base::Status Demand(ConfigFields& fields, const std::string& name, bool value);

// Heads, biases, norms, windows and latents of `a`, whose other sizes are there already.
base::Status ReadGroupedAttention(ConfigFields& fields, Family family, Architecture& a);
base::Status ReadLatentAttention(ConfigFields& fields, Family family, Architecture& a);
// The mixture of experts of the DeepSeek families.
base::Status ReadExperts(ConfigFields& fields, Family family, Architecture& a);

}  // namespace cloister::model
