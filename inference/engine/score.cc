#include "inference/engine/score.h"

#include <algorithm>
#include <cmath>

#include "inference/engine/sampler.h"

namespace cloister::inference {

double NegativeLogLikelihood(std::span<const float> logits, model::TokenId id) {
  const float largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  const double own = logits[static_cast<std::size_t>(id)];
  return std::log(sum) - (own - static_cast<double>(largest));
}

base::Result<Score> ScoreSequence(Engine& engine, std::span<const model::TokenId> ids,
                                  std::size_t best) {
  engine.Reset();
  Score score;
  const auto last = static_cast<std::int64_t>(ids.size()) - 1;
  const auto read = [&](std::int64_t index, std::span<const float> logits) -> base::Status {
    if (index < last) {
      score.nll_sum += NegativeLogLikelihood(logits, ids[static_cast<std::size_t>(index) + 1]);
      ++score.tokens;
      return {};
    }
    score.top_ids = TopIds(logits, best);
    for (const model::TokenId id : score.top_ids) {
      score.top_logits.push_back(logits[static_cast<std::size_t>(id)]);
    }
    return {};
  };
  CLOISTER_RETURN_IF_ERROR(engine.Evaluate(ids, 0, read));
  return score;
}

double Perplexity::value() const { return std::exp(nll_sum / static_cast<double>(tokens)); }

base::Status AddChunk(Engine& engine, std::span<const model::TokenId> ids, Perplexity& perplexity) {
  engine.Reset();
  const auto first = static_cast<std::int64_t>(ids.size()) / 2;
  const auto last = static_cast<std::int64_t>(ids.size()) - 1;
  return engine.Evaluate(ids, first, [&](std::int64_t index, std::span<const float> logits) {
    if (index < last) {
      perplexity.nll_sum += NegativeLogLikelihood(logits, ids[static_cast<std::size_t>(index) + 1]);
      ++perplexity.tokens;
    }
    return base::Status();
  });
}

}  // namespace cloister::inference
