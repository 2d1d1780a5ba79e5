#include "trainer/networks/batch.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "trainer/networks/answer_loss.h"

namespace cloister::trainer {
namespace {

at::Tensor Integers(const std::vector<std::int64_t>& values) {
  return at::tensor(values, at::TensorOptions(at::kLong));
}

}  // namespace

Batch Batch::On(const at::Device& device) const {
  return {ids.to(device),
          position.to(device),
          targets.to(device),
          example.to(device),
          weight.to(device),
          lengths,
          segments};
}

Batch MakeBatch(std::span<const Example> examples, std::span<const std::size_t> chosen,
                bool packed) {
  std::int64_t longest = 0, all = 0;
  for (const std::size_t index : chosen) {
    longest = std::max(longest, examples[index].tokens() - 1);
    all += examples[index].tokens() - 1;
  }
  const auto count = static_cast<std::int64_t>(chosen.size());
  std::vector<std::int64_t> ids(static_cast<std::size_t>(packed ? all : count * longest), 0);
  std::vector<std::int64_t> position, targets, owner, lengths, segments;
  std::vector<float> weight;
  std::int64_t first = 0;  // of the example's in the flattened rows
  for (std::int64_t i = 0; i < count; ++i) {
    const Example& one = examples[chosen[static_cast<std::size_t>(i)]];
    const std::int64_t answers = one.answer_tokens();
    CLOISTER_CHECK(answers > 0 && one.tokens() > 1);
    lengths.push_back(one.tokens());
    for (std::int64_t t = 0; t + 1 < one.tokens(); ++t) {
      ids[static_cast<std::size_t>(first + t)] = one.ids[static_cast<std::size_t>(t)];
      if (one.answer[static_cast<std::size_t>(t + 1)] == 0) continue;
      position.push_back(first + t);
      targets.push_back(one.ids[static_cast<std::size_t>(t + 1)]);
      owner.push_back(i);
      weight.push_back(1.0F / static_cast<float>(answers));
    }
    if (packed) segments.push_back(one.tokens() - 1);
    first += packed ? one.tokens() - 1 : longest;
  }
  return {Integers(ids).view({packed ? 1 : count, -1}),
          Integers(position),
          Integers(targets),
          Integers(owner),
          at::tensor(weight, at::TensorOptions(at::kFloat)),
          std::move(lengths),
          std::move(segments)};
}

at::Tensor BatchLoss(const Network& network, const NetworkAdapter* adapter, const Batch& made) {
  const Batch batch = made.On(network.device());
  const at::Tensor hidden = network.Hidden(batch.ids, adapter, batch.lengths, batch.segments);
  const at::Tensor rows = hidden.flatten(0, 1).index_select(0, batch.position);
  return AnswerLoss(
      network.Normalize(rows, adapter), network.head(),
      {batch.targets, batch.example, batch.weight, static_cast<std::int64_t>(batch.lengths.size())},
      adapter == nullptr ? WeightWatch() : adapter->weights);
}

}  // namespace cloister::trainer
