#include "trainer/evaluation/scoring.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "base/check.h"
#include "trainer/networks/batch.h"

namespace cloister::trainer {
namespace {

// As for the loss: scores of 64 rows stay near the caches.
constexpr std::int64_t kChunkRows = 64;

// Of equal scores the first.
model::TokenId Likeliest(const at::Tensor& scores) {
  const at::Tensor row = scores.flatten().to(at::kCPU, at::kFloat).contiguous();
  const std::span<const float> values(row.const_data_ptr<float>(),
                                      static_cast<std::size_t>(row.numel()));
  return static_cast<model::TokenId>(std::max_element(values.begin(), values.end()) -
                                     values.begin());
}

at::Tensor Ids(std::span<const model::TokenId> ids) {
  const std::vector<std::int64_t> wide(ids.begin(), ids.end());
  return at::tensor(wide, at::TensorOptions(at::kLong)).unsqueeze(0);
}

}  // namespace

void ScoreAnswers(const Network& network, const NetworkAdapter* adapter,
                  std::span<const Example> examples, std::span<const std::size_t> chosen,
                  std::span<TrainableModel::Score> scores) {
  const at::NoGradGuard no_grad;
  const Batch batch = MakeBatch(examples, chosen);
  const at::Tensor hidden = network.Hidden(batch.ids, adapter, batch.lengths).flatten(0, 1);
  const at::Tensor rows = hidden.index_select(0, batch.position.to(network.device()));
  for (std::int64_t start = 0; start < rows.size(0); start += kChunkRows) {
    const std::int64_t size = std::min(kChunkRows, rows.size(0) - start);
    const at::Tensor logits = network.Logits(rows.narrow(0, start, size)).to(at::kCPU, at::kFloat);
    const at::Tensor targets = batch.targets.narrow(0, start, size);
    const at::Tensor nll = at::log_softmax(logits, -1).gather(1, targets.unsqueeze(1)).neg();
    const at::Tensor correct = logits.argmax(-1).eq(targets);
    for (std::int64_t row = 0; row < size; ++row) {
      const auto owner = static_cast<std::size_t>(batch.example[start + row].item<std::int64_t>());
      TrainableModel::Score& score = scores[chosen[owner]];
      score.nll += static_cast<double>(nll[row].item<float>());
      score.correct += correct[row].item<bool>() ? 1 : 0;
      ++score.tokens;
    }
  }
}

base::Result<std::vector<model::TokenId>> GreedyTokens(const Network& network,
                                                       const NetworkAdapter* adapter,
                                                       std::span<const model::TokenId> prompt,
                                                       std::int64_t max_new_tokens,
                                                       std::span<const model::TokenId> ends,
                                                       const WorkProgress& progress) {
  CLOISTER_CHECK(!prompt.empty());
  std::vector<KeyValues> past(static_cast<std::size_t>(network.architecture().num_layers));
  std::vector<model::TokenId> answer;
  at::Tensor next = Ids(prompt);
  while (static_cast<std::int64_t>(answer.size()) < max_new_tokens) {
    if (progress && !progress(0)) return StoppedWork();
    const at::NoGradGuard no_grad;
    const at::Tensor hidden = network.Extend(next, adapter, past);
    const model::TokenId id = Likeliest(network.Logits(hidden.select(1, hidden.size(1) - 1)));
    if (std::find(ends.begin(), ends.end(), id) != ends.end()) break;
    answer.push_back(id);
    next = Ids(std::span(&id, 1));
  }
  return answer;
}

}  // namespace cloister::trainer
