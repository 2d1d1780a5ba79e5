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
                                                   std::int64_t padded_tokens, bool packed) {
  std::vector<std::size_t> order(examples.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return examples[a].tokens() > examples[b].tokens();
  });
  std::vector<std::vector<std::size_t>> groups;
  std::int64_t taken = 0, each = 0;  // of the last group; by one that is padded
  for (const std::size_t index : order) {
    const std::int64_t tokens = examples[index].tokens();
    if (groups.empty() || taken + (packed ? tokens : each) > padded_tokens) {
      groups.emplace_back();
      taken = 0;
      each = tokens;  // the first of a group is its longest
    }
    groups.back().push_back(index);
    taken += packed ? tokens : each;
  }
  return groups;
}

std::vector<std::vector<std::size_t>> AnsweredMicroBatches(std::span<const Example> examples,
                                                           std::int64_t padded_tokens,
                                                           bool packed) {
  std::vector<std::vector<std::size_t>> groups = MicroBatches(examples, padded_tokens, packed);
  for (auto& group : groups) {
    std::erase_if(group, [&](std::size_t i) { return examples[i].answer_tokens() == 0; });
  }
  std::erase_if(groups, [](const auto& group) { return group.empty(); });
  return groups;
}

}  // namespace cloister::trainer
