#include "trainer/networks/answer_loss.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "dp/clipping/observer_handle.h"
#include "dp/clipping/once_differentiable.h"
#include "trainer/networks/frozen_linear.h"
#include "trainer/networks/gradient_sum.h"
#include "trainer/networks/operators.h"

namespace cloister::trainer {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// 64 rows of a 49152-token vocabulary are 12 MB: near the caches, large enough for the products.
constexpr std::int64_t kChunkRows = 64;
// A head in blocks is smaller than such a chunk's scores. It is dequantized twice for each chunk,
// which at 16 rows is some 4 % of a pass.
constexpr std::int64_t kBlockChunkRows = 16;

// Rows whose scores are held for a watch that would as soon have them in parts.
constexpr std::int64_t kHeldRows = 256;

// Whether rows of one matrix may be told of in several calls, as they may not to one that asks for
// the norm of what they make together.
bool TakesParts(const dp::clipping::GradientObserver& observer) {
  return dynamic_cast<const GradientSum*>(&observer) != nullptr;
}

struct AnswerLossFunction : torch::autograd::Function<AnswerLossFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& rows,
                            const at::Tensor& targets, const at::Tensor& example,
                            const at::Tensor& weight, std::int64_t examples, std::int64_t head_of,
                            std::int64_t observer, std::int64_t number) {
    const LinearWeights& head = *reinterpret_cast<const LinearWeights*>(head_of);
    const std::int64_t count = rows.size(0);
    const bool differentiate = rows.requires_grad();
    at::Tensor losses = at::empty({count}, rows.options().dtype(at::kFloat));
    at::Tensor gradient = differentiate ? at::empty_like(rows) : at::Tensor();
    const bool watched = differentiate && observer != 0;
    const bool held =
        watched && (count <= kHeldRows || !TakesParts(*dp::clipping::ObserverOf(observer)));
    at::Tensor of_scores = held ? at::empty({count, head.rows()}, rows.options()) : at::Tensor();
    const std::int64_t chunk = head.blocks ? kBlockChunkRows : kChunkRows;
    for (std::int64_t start = 0; start < count; start += chunk) {
      const std::int64_t size = std::min(chunk, count - start);
      const at::Tensor scores = Product(rows.narrow(0, start, size), head);
      losses.narrow(0, start, size)
          .copy_(CrossEntropy(scores, targets.narrow(0, start, size), differentiate));
      if (!differentiate) continue;
      gradient.narrow(0, start, size).copy_(InputGradient(scores, head));
      if (held) of_scores.narrow(0, start, size).copy_(scores);
    }
    if (differentiate) gradient.mul_(weight.unsqueeze(1));
    const at::Tensor none;
    context->save_for_backward({gradient, example, weight, of_scores, watched ? rows : none,
                                watched && !held ? head.factor() : none,
                                watched && !held ? targets : none});
    context->saved_data["observer"] = watched ? observer : 0;
    context->saved_data["number"] = number;
    return at::zeros({examples}, losses.options()).index_add_(0, example, losses * weight);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    dp::clipping::RefuseSecondDerivative();
    const variable_list saved = context->get_saved_variables();
    const at::Tensor of_row = gradients[0].index_select(0, saved[1]).unsqueeze(1);
    const std::int64_t observer = context->saved_data["observer"].toInt();
    if (observer != 0) {
      Tell(*dp::clipping::ObserverOf(observer), context->saved_data["number"].toInt(), saved,
           of_row * saved[2].unsqueeze(1));
    }
    const at::Tensor none;
    return {saved[0] * of_row, none, none, none, none, none, none, none};
  }

  // Of the head, whose rows' losses count `share` each.
  static void Tell(dp::clipping::GradientObserver& observer, std::int64_t number,
                   const variable_list& saved, const at::Tensor& share) {
    at::Tensor of_scores = saved[3];
    const at::Tensor &rows = saved[4], &head = saved[5], &targets = saved[6];
    if (of_scores.defined()) {
      observer.ObserveMatrix(number, of_scores.mul_(share), rows);
      return;
    }
    const at::NoGradGuard no_grad;
    for (std::int64_t start = 0; start < rows.size(0); start += kChunkRows) {
      const std::int64_t size = std::min(kChunkRows, rows.size(0) - start);
      const at::Tensor part = rows.narrow(0, start, size);
      at::Tensor scores = Product(part, head);
      CrossEntropy(scores, targets.narrow(0, start, size), /*differentiate=*/true);
      observer.ObserveMatrix(number, scores.mul_(share.narrow(0, start, size)), part);
    }
  }
};

}  // namespace

at::Tensor AnswerLoss(const at::Tensor& rows, const LinearWeights& head,
                      const Predictions& predictions, const WeightWatch& watch) {
  // No pointer may be an argument. The head is read in this call alone.
  const auto head_of = reinterpret_cast<std::int64_t>(&head);
  return AnswerLossFunction::apply(rows, predictions.targets, predictions.example,
                                   predictions.weight, predictions.examples, head_of,
                                   dp::clipping::HandleOf(watch ? &watch.observer() : nullptr),
                                   watch ? watch.NumberOf(head.weight) : 0);
}

}  // namespace cloister::trainer
