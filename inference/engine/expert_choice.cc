#include "inference/engine/expert_choice.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace cloister::inference {
namespace {

using model::Experts;

constexpr float kExcluded = -std::numeric_limits<float>::infinity();

std::vector<float> Scores(Experts::Gate gate, std::span<const float> logits) {
  std::vector<float> scores(logits.begin(), logits.end());
  if (gate == Experts::Gate::kSigmoid) {
    for (float& score : scores) score = 1.0f / (1.0f + std::exp(-score));
    return scores;
  }
  const float largest = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (float& score : scores) {
    score = std::exp(score - largest);
    sum += score;
  }
  for (float& score : scores) score = static_cast<float>(score / sum);
  return scores;
}

// The `count` largest, equal ones by rising index.
std::vector<std::int64_t> Largest(std::span<const float> values, std::int64_t count) {
  std::vector<std::int64_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  const auto value = [&](std::int64_t i) { return values[static_cast<std::size_t>(i)]; };
  // NaN compares as smallest, so that the order stays strict.
  const auto key = [&](std::int64_t i) { return std::isnan(value(i)) ? kExcluded : value(i); };
  std::partial_sort(
      order.begin(), order.begin() + count, order.end(),
      [&](std::int64_t a, std::int64_t b) { return key(a) != key(b) ? key(a) > key(b) : a < b; });
  order.resize(static_cast<std::size_t>(count));
  return order;
}

float GroupScore(Experts::GroupScore kind, std::span<const float> group) {
  float best = kExcluded, second = kExcluded;
  for (const float score : group) {
    if (score > best) {
      second = best;
      best = score;
    } else if (score > second) {
      second = score;
    }
  }
  return kind == Experts::GroupScore::kBest ? best : best + second;
}

// Scores of groups that are not among the best become what no expert is chosen with.
void ExcludeGroups(const Experts& experts, std::vector<float>& scores) {
  if (experts.groups_per_token == experts.groups) return;
  const auto size = static_cast<std::size_t>(experts.count / experts.groups);
  std::vector<float> groups;
  for (std::size_t i = 0; i < scores.size(); i += size) {
    groups.push_back(GroupScore(experts.group_score, std::span(scores).subspan(i, size)));
  }
  std::vector<bool> kept(groups.size(), false);
  for (const std::int64_t group : Largest(groups, experts.groups_per_token)) {
    kept[static_cast<std::size_t>(group)] = true;
  }
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (!kept[i / size]) scores[i] = kExcluded;
  }
}

}  // namespace

std::vector<ChosenExpert> ChooseExperts(const Experts& experts, std::span<const float> logits,
                                        std::span<const float> bias) {
  const std::vector<float> scores = Scores(experts.gate, logits);
  std::vector<float> choice = scores;
  for (std::size_t i = 0; i < bias.size(); ++i) choice[i] += bias[i];
  ExcludeGroups(experts, choice);
  std::vector<ChosenExpert> chosen;
  float sum = 0;
  for (const std::int64_t index : Largest(choice, experts.per_token)) {
    chosen.push_back({index, scores[static_cast<std::size_t>(index)]});
    sum += chosen.back().weight;
  }
  for (ChosenExpert& expert : chosen) {
    if (experts.normalize) expert.weight /= sum + 1e-20f;
    expert.weight *= static_cast<float>(experts.scale);
  }
  std::sort(chosen.begin(), chosen.end(),
            [](const ChosenExpert& a, const ChosenExpert& b) { return a.index < b.index; });
  return chosen;
}

}  // namespace cloister::inference
