#include "inference/engine/generate.h"

#include <algorithm>

#include "inference/engine/sampler.h"

namespace cloister::inference {

base::Result<Generation> Generate(Engine& engine, std::span<const model::TokenId> prompt,
                                  const GenerateOptions& options,
                                  const std::function<base::Status(model::TokenId)>& on_token) {
  engine.Reset();
  Generation generation;
  if (options.max_new_tokens <= 0) return generation;
  Sampler sampler(options.temperature, options.seed);
  CLOISTER_ASSIGN_OR_RETURN(std::span<const float> logits, engine.Prefill(prompt));
  while (true) {
    const model::TokenId next = sampler.Next(logits);
    generation.stopped = std::find(options.end_tokens.begin(), options.end_tokens.end(), next) !=
                         options.end_tokens.end();
    if (generation.stopped) return generation;
    generation.ids.push_back(next);
    CLOISTER_RETURN_IF_ERROR(on_token(next));
    if (static_cast<std::int64_t>(generation.ids.size()) == options.max_new_tokens) {
      return generation;
    }
    CLOISTER_ASSIGN_OR_RETURN(logits, engine.Decode(next));
  }
}

}  // namespace cloister::inference
