#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "dp/clipping/gradient_observer.h"
#include "dp/clipping/parameter_shape.h"
#include "trainer/networks/weights.h"

namespace cloister::trainer {

// The network's own weights as trainable parameters, numbered in the order of
// NetworkWeights::Parameters(). Immutable; thread-safe.
class WeightNumbers {
 public:
  explicit WeightNumbers(const NetworkWeights& weights);

  // Where each stands in the flat vector of all: one after the other.
  const std::vector<dp::clipping::ParameterShape>& shapes() const { return shapes_; }
  std::int64_t parameters() const;
  std::int64_t Of(const at::Tensor& weight) const;  // a CHECK fails for another tensor

 private:
  std::unordered_map<const void*, std::int64_t> numbers_;
  std::vector<dp::clipping::ParameterShape> shapes_;
};

// Who is told, in a backward pass, what the gradients of the network's own weights are made of;
// they get no ordinary gradient then. By default nobody. The weights must require gradients, and
// the observer and the numbers outlive the pass.
class WeightWatch {
 public:
  WeightWatch() = default;
  WeightWatch(const WeightNumbers& numbers, dp::clipping::GradientObserver& observer)
      : numbers_(&numbers), observer_(&observer) {}

  explicit operator bool() const { return observer_ != nullptr; }

  // Linear(), RmsNorm() and a lookup of rows, differentiable in x, that tell of their weights.
  at::Tensor Linear(const at::Tensor& x, const LinearWeights& linear) const;
  at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double epsilon,
                     std::optional<at::ScalarType> type = {}) const;
  at::Tensor Embed(const at::Tensor& ids, const at::Tensor& embedding) const;

  dp::clipping::GradientObserver& observer() const { return *observer_; }
  std::int64_t NumberOf(const at::Tensor& weight) const { return numbers_->Of(weight); }

 private:
  const WeightNumbers* numbers_ = nullptr;
  dp::clipping::GradientObserver* observer_ = nullptr;
};

}  // namespace cloister::trainer
