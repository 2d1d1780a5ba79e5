#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "inference/engine/engine.h"
#include "model/tokenizer.h"

namespace cloister::inference {

// -ln softmax(logits)[id], in nats.
double NegativeLogLikelihood(std::span<const float> logits, model::TokenId id);

struct Score {
  double nll_sum = 0;                   // of ids 2 … n, each given those before it
  std::int64_t tokens = 0;              // n - 1
  std::vector<model::TokenId> top_ids;  // the best after the last id
  std::vector<float> top_logits;        // their raw logits, descending
};

// Scores a sequence of at least one id from an empty cache. Errors: as Engine's.
base::Result<Score> ScoreSequence(Engine& engine, std::span<const model::TokenId> ids,
                                  std::size_t best);

struct Perplexity {
  double nll_sum = 0;
  std::int64_t tokens = 0;
  double value() const;  // exp(nll_sum / tokens)
};

// Adds one chunk of `ids`: the ids at places n/2 + 1 … n - 1, counted from 0, are scored, each
// given all before it. That is the second half without its first id (llama-perplexity's rule).
// Errors: as Engine's.
base::Status AddChunk(Engine& engine, std::span<const model::TokenId> ids, Perplexity& perplexity);

}  // namespace cloister::inference
