#include "trainer/networks/weight_watch.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "base/check.h"
#include "dp/clipping/observer_handle.h"
#include "dp/clipping/once_differentiable.h"
#include "trainer/networks/frozen_linear.h"
#include "trainer/networks/operators.h"

namespace cloister::trainer {
namespace {

using dp::clipping::GradientObserver;
using dp::clipping::HandleOf;
using dp::clipping::TokenRows;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

GradientObserver& Observer(const AutogradContext& context) {
  return *dp::clipping::ObserverOf(context.saved_data.at("observer").toInt());
}

struct WatchedLinearFunction : torch::autograd::Function<WatchedLinearFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& /*weight*/, const std::optional<at::Tensor>& bias,
                            const at::Tensor& factor, std::int64_t observer, std::int64_t number,
                            std::int64_t bias_number) {
    context->save_for_backward({x, factor});
    context->saved_data["observer"] = observer;
    context->saved_data["number"] = number;
    context->saved_data["bias"] = bias_number;
    return Product(x, factor, bias.value_or(at::Tensor()));
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    dp::clipping::RefuseSecondDerivative();
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &factor = saved[1];
    GradientObserver& observer = Observer(*context);
    observer.ObserveMatrix(context->saved_data["number"].toInt(), TokenRows(gradients[0]),
                           TokenRows(x));
    const std::int64_t bias = context->saved_data["bias"].toInt();
    if (bias >= 0) observer.ObserveVector(bias, TokenRows(gradients[0]));
    const at::Tensor none;
    const at::Tensor gradient_x =
        context->needs_input_grad(0) ? Product(gradients[0], factor.t()) : none;
    return {gradient_x, none, none, none, none, none, none};
  }
};

struct WatchedRmsNormFunction : torch::autograd::Function<WatchedRmsNormFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            double epsilon, at::ScalarType type, std::int64_t observer,
                            std::int64_t number) {
    const NormalizedRows normalized = NormalizeRows(x, weight, epsilon, type);
    context->save_for_backward({x, weight, normalized.inverse});
    context->saved_data["observer"] = observer;
    context->saved_data["number"] = number;
    return normalized.y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    dp::clipping::RefuseSecondDerivative();
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &inverse = saved[2];
    Observer(*context).ObserveVector(context->saved_data["number"].toInt(),
                                     TokenRows(gradients[0] * x * inverse));
    const at::Tensor none;
    return {RmsNormInputGradient(gradients[0], x, weight, inverse), none, none, none, none, none};
  }
};

struct WatchedLookupFunction : torch::autograd::Function<WatchedLookupFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& embedding,
                            const at::Tensor& ids, std::int64_t observer, std::int64_t number) {
    context->save_for_backward({ids});
    context->saved_data["observer"] = observer;
    context->saved_data["number"] = number;
    return at::embedding(embedding, ids);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    dp::clipping::RefuseSecondDerivative();
    const at::Tensor ids = context->get_saved_variables()[0];
    Observer(*context).ObserveLookup(context->saved_data["number"].toInt(), ids.reshape(-1),
                                     TokenRows(gradients[0]));
    const at::Tensor none;
    return {none, none, none, none};
  }
};

}  // namespace

WeightNumbers::WeightNumbers(const NetworkWeights& weights) {
  std::int64_t offset = 0;
  for (const at::Tensor& weight : weights.Parameters()) {
    numbers_.emplace(weight.unsafeGetTensorImpl(), static_cast<std::int64_t>(shapes_.size()));
    shapes_.push_back({.rows = weight.size(0),
                       .columns = weight.dim() == 2 ? weight.size(1) : 1,
                       .offset = offset});
    offset += weight.numel();
  }
}

std::int64_t WeightNumbers::parameters() const {
  return shapes_.empty() ? 0 : shapes_.back().offset + shapes_.back().elements();
}

std::int64_t WeightNumbers::Of(const at::Tensor& weight) const {
  const auto found = numbers_.find(weight.unsafeGetTensorImpl());
  CLOISTER_CHECK(found != numbers_.end());
  return found->second;
}

at::Tensor WeightWatch::Linear(const at::Tensor& x, const LinearWeights& linear) const {
  if (observer_ == nullptr) return trainer::Linear(x, linear);
  const bool has_bias = linear.bias.defined();
  return WatchedLinearFunction::apply(
      x, linear.weight, has_bias ? std::optional<at::Tensor>(linear.bias) : std::nullopt,
      linear.factor(), HandleOf(observer_), NumberOf(linear.weight),
      has_bias ? NumberOf(linear.bias) : -1);
}

at::Tensor WeightWatch::RmsNorm(const at::Tensor& x, const at::Tensor& weight, double epsilon,
                                std::optional<at::ScalarType> type) const {
  if (observer_ == nullptr) return trainer::RmsNorm(x, weight, epsilon, type);
  return WatchedRmsNormFunction::apply(x, weight, epsilon, type.value_or(x.scalar_type()),
                                       HandleOf(observer_), NumberOf(weight));
}

at::Tensor WeightWatch::Embed(const at::Tensor& ids, const at::Tensor& embedding) const {
  if (observer_ == nullptr) return at::embedding(embedding, ids);
  return WatchedLookupFunction::apply(embedding, ids, HandleOf(observer_), NumberOf(embedding));
}

}  // namespace cloister::trainer
