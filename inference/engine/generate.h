#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/result.h"
#include "inference/engine/engine.h"
#include "model/tokenizer.h"

namespace cloister::inference {

struct GenerateOptions {
  std::int64_t max_new_tokens = 0;
  double temperature = 0;                  // 0: greedy
  std::uint64_t seed = 0;                  // used above temperature 0
  std::vector<model::TokenId> end_tokens;  // any of them ends the text; empty: none does
};

struct Generation {
  std::vector<model::TokenId> ids;  // new tokens, without the one that ended the text
  bool stopped = false;             // by an end token; otherwise by the length
};

// Continues `prompt` (at least one token) from an empty cache. `on_token` sees each new token as
// soon as it is chosen; its failure ends the call. Errors: as Engine's.
base::Result<Generation> Generate(Engine& engine, std::span<const model::TokenId> prompt,
                                  const GenerateOptions& options,
                                  const std::function<base::Status(model::TokenId)>& on_token);

}  // namespace cloister::inference
