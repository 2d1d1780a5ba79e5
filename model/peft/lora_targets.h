#pragma once

#include <string>

#include "base/result.h"
#include "model/adapter.h"
#include "model/architecture.h"

namespace cloister::model {

// `config` with the targets, and the first layer, that `pattern` means, as PEFT's target_modules
// does where it is one text: "all-linear", every linear layer but the head, or an expression
// (ModulePattern) that the whole of a module's name must match, as in
// ".*\.(1[0-9]|2[0-9])\.self_attn\.(q|v)_proj" for names like model.layers.12.self_attn.q_proj.
// Layers below config.first_layer are left out. kInvalidArgument for a broken expression, one that
// matches nothing, or one whose modules are not the same on every layer from one on.
base::Result<LoraConfig> WithTargetsOf(const std::string& pattern, LoraConfig config,
                                       const Architecture& architecture);

}  // namespace cloister::model
