#include "trainer/data/example.h"

#include <algorithm>
#include <numeric>

namespace cloister::trainer {

std::int64_t Example::answer_tokens() const {
  return std::accumulate(answer.begin(), answer.end(), std::int64_t{0});
}

std::int64_t TokensOf(std::span<const Example> examples) {
  std::int64_t tokens = 0;
  for (const Example& example : examples) tokens += example.tokens();
  return tokens;
}

std::int64_t AnswerTokensOf(std::span<const Example> examples) {
  std::int64_t tokens = 0;
  for (const Example& example : examples) tokens += example.answer_tokens();
  return tokens;
}

std::vector<std::vector<std::size_t>> MicroBatches(std::span<const Example> examples,
                                                   std::int64_t padded_tokens) {
  std::vector<std::size_t> order(examples.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return examples[a].tokens() > examples[b].tokens();
  });
  std::vector<std::vector<std::size_t>> groups;
  for (const std::size_t index : order) {
    // The first of a group is its longest.
    const bool fits =
        !groups.empty() && examples[groups.back().front()].tokens() *
                                   static_cast<std::int64_t>(groups.back().size() + 1) <=
                               padded_tokens;
    if (!fits) groups.emplace_back();
    groups.back().push_back(index);
  }
  return groups;
}

}  // namespace cloister::trainer
