#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "dp/clipping/lora_path.h"
#include "trainer/networks/adapter_dropout.h"
#include "trainer/networks/weight_watch.h"

namespace cloister::trainer {

// The linear layers of a decoder layer that an adapter may sit on, by the last part of their names.
// A layer has some of them: grouped-query attention q, k, v and o; latent attention q, or q_a and
// q_b, and kv_a, kv_b and o; a dense MLP, or the shared experts of a mixture, gate, up and down.
enum class Target { kQ, kK, kV, kO, kQA, kQB, kKvA, kKvB, kGate, kUp, kDown };
constexpr std::size_t kTargets = 11;

// The target that is called so; a CHECK fails when none is.
Target TargetOf(std::string_view projection);

// What is trained, as the network reads it: a LoRA adapter on frozen weights, or (with `weights`
// and no paths) the network's own weights.
struct NetworkAdapter {
  struct Path {
    at::Tensor a, b;                                // [rank, in], [out, rank]
    std::int64_t a_parameter = 0, b_parameter = 0;  // told to the observer
  };
  std::vector<std::array<std::optional<Path>, kTargets>> layers;  // one row a decoder layer
  std::int64_t first_layer = 0;  // below it no layer has a path and nothing is differentiated
  double scale = 0;
  Dropout dropout;                                     // of the paths' inputs, for one batch
  dp::clipping::GradientObserver* observer = nullptr;  // of the paths
  WeightWatch weights;
};

// The part of an adapter on one layer. Without an adapter nothing is added.
class LayerAdapter {
 public:
  LayerAdapter() = default;
  LayerAdapter(const NetworkAdapter* adapter, std::int64_t layer)
      : adapter_(adapter), layer_(static_cast<std::size_t>(layer)) {}

  bool Has(Target target) const;
  // Without its paths.
  LayerAdapter WeightsAlone() const;
  WeightWatch weights() const { return adapter_ == nullptr ? WeightWatch() : adapter_->weights; }
  // The matrices of its paths.
  std::vector<at::Tensor> Parameters() const;
  // `y`, the output of the target for input `x`, plus what a path there adds.
  at::Tensor Add(const at::Tensor& y, const at::Tensor& x, Target target) const;

 private:
  const NetworkAdapter* adapter_ = nullptr;
  std::size_t layer_ = 0;
  bool weights_alone_ = false;
};

}  // namespace cloister::trainer
