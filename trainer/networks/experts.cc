#include "trainer/networks/experts.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <limits>
#include <tuple>
#include <vector>

#include "trainer/networks/frozen_linear.h"
#include "trainer/networks/mlp.h"

namespace cloister::trainer {
namespace {

using model::Experts;

// The `count` best of each row, i64 [rows, count]: a stable order gives ties to the lower index.
at::Tensor Best(const at::Tensor& scores, std::int64_t count) {
  return std::get<1>(at::sort(scores, /*stable=*/true, /*dim=*/-1, /*descending=*/true))
      .narrow(-1, 0, count);
}

// True for experts of groups that may not be chosen from, bool [tokens, count].
at::Tensor ExcludedExperts(const Experts& experts, const at::Tensor& scores) {
  const std::int64_t size = experts.count / experts.groups;
  const at::Tensor grouped = scores.view({-1, experts.groups, size});
  const at::Tensor worth = experts.group_score == Experts::GroupScore::kBest
                               ? grouped.amax(-1)
                               : std::get<0>(grouped.topk(2, -1)).sum(-1);
  return at::ones_like(worth, at::kBool)
      .scatter_(1, Best(worth, experts.groups_per_token), false)
      .unsqueeze(-1)
      .expand({-1, experts.groups, size})
      .reshape({-1, experts.count});
}

// The chosen experts' outputs, weighted and added, for rows x [tokens, hidden].
at::Tensor Routed(const std::vector<MlpWeights>& experts, const at::Tensor& x, const Choice& choice,
                  const LayerAdapter& adapter) {
  const std::int64_t tokens = x.size(0), per_token = choice.indices.size(1);
  const auto count = static_cast<std::int64_t>(experts.size());
  // Rows in the order of their experts, so that each expert works on one piece.
  const at::Tensor flat = choice.indices.reshape(-1);
  const at::Tensor order = at::argsort(flat, /*stable=*/true, /*dim=*/0, /*descending=*/false);
  const at::Tensor sizes = at::bincount(flat.cpu(), {}, count);
  const auto* size_of = sizes.const_data_ptr<std::int64_t>();
  const at::Tensor rows = x.index_select(0, at::div(order, per_token, "floor"));
  const std::vector<at::Tensor> pieces =
      rows.split_with_sizes(at::IntArrayRef(size_of, static_cast<std::size_t>(count)));
  std::vector<at::Tensor> outputs;
  for (std::size_t i = 0; i < experts.size(); ++i) {
    if (size_of[i] > 0) outputs.push_back(Mlp(experts[i], pieces[i], adapter));
  }
  const at::Tensor back = at::empty_like(order).scatter_(
      0, order, at::arange(order.size(0), at::TensorOptions(at::kLong).device(order.device())));
  const at::Tensor mine =
      at::cat(outputs).index_select(0, back).view({tokens, per_token, x.size(1)}).to(at::kFloat);
  return at::bmm(choice.weights.unsqueeze(1), mine).squeeze(1);
}

}  // namespace

Choice ChooseExperts(const Experts& experts, const at::Tensor& logits,
                     const at::Tensor& correction_bias) {
  at::Tensor scores =
      experts.gate == Experts::Gate::kSoftmax ? at::softmax(logits, -1) : at::sigmoid(logits);
  at::Tensor indices, excluded;
  {
    const at::NoGradGuard no_grad;
    at::Tensor ranked = correction_bias.defined() ? scores + correction_bias : scores.detach();
    if (experts.groups_per_token < experts.groups) {
      excluded = ExcludedExperts(experts, ranked);
      const bool zero = experts.group_score == Experts::GroupScore::kBest;
      ranked = ranked.masked_fill(excluded, zero ? 0 : -std::numeric_limits<double>::infinity());
    }
    indices = Best(ranked, experts.per_token);
  }
  // Where all allowed scores have vanished, an excluded expert may rank as high: it counts nothing.
  if (excluded.defined() && experts.group_score == Experts::GroupScore::kBest) {
    scores = scores.masked_fill(excluded, 0);
  }
  at::Tensor weights = scores.gather(1, indices);
  if (experts.normalize) weights = weights / (weights.sum(-1, /*keepdim=*/true) + 1e-20);
  return {indices, weights * experts.scale};
}

at::Tensor Mixture(const Experts& experts, const ExpertsWeights& w, const at::Tensor& x,
                   const LayerAdapter& adapter) {
  const at::Tensor rows = x.reshape({-1, x.size(-1)});
  const Choice choice =
      ChooseExperts(experts, adapter.weights().Linear(rows.to(at::kFloat), {w.router, {}, {}, {}}),
                    w.correction_bias);
  const at::Tensor routed = Routed(w.experts, rows, choice, adapter.WeightsAlone()).view(x.sizes());
  return w.shared ? routed + Mlp(*w.shared, x, adapter) : routed;
}

}  // namespace cloister::trainer
