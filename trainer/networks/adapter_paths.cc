#include "trainer/networks/adapter_paths.h"

#include <ATen/ATen.h>

#include "base/check.h"

namespace cloister::trainer {
namespace {

// In the order of enum Target.
constexpr std::array<std::string_view, kTargets> kNames = {
    "q_proj",    "k_proj",    "v_proj",  "o_proj",   "q_a_proj", "q_b_proj", "kv_a_proj_with_mqa",
    "kv_b_proj", "gate_proj", "up_proj", "down_proj"};

}  // namespace

Target TargetOf(std::string_view projection) {
  for (std::size_t i = 0; i < kTargets; ++i) {
    if (kNames[i] == projection) return static_cast<Target>(i);
  }
  CLOISTER_CHECK(false && "a validated target");
  return Target::kQ;
}

bool LayerAdapter::Has(Target target) const {
  return adapter_ != nullptr && !weights_alone_ && !adapter_->layers.empty() &&
         adapter_->layers[layer_][static_cast<std::size_t>(target)].has_value();
}

LayerAdapter LayerAdapter::WeightsAlone() const {
  LayerAdapter alone = *this;
  alone.weights_alone_ = true;
  return alone;
}

std::vector<at::Tensor> LayerAdapter::Parameters() const {
  std::vector<at::Tensor> all;
  if (adapter_ == nullptr || adapter_->layers.empty()) return all;
  for (const auto& path : adapter_->layers[layer_]) {
    if (path) all.insert(all.end(), {path->a, path->b});
  }
  return all;
}

at::Tensor LayerAdapter::Add(const at::Tensor& y, const at::Tensor& x, Target target) const {
  if (!Has(target)) return y;
  const NetworkAdapter::Path& path = *adapter_->layers[layer_][static_cast<std::size_t>(target)];
  const Dropout& dropout = adapter_->dropout;
  return y + dp::clipping::LoraPath(dropout ? DropInputs(x, dropout, path.a_parameter) : x, path.a,
                                    path.b, adapter_->scale,
                                    {adapter_->observer, path.a_parameter, path.b_parameter});
}

}  // namespace cloister::trainer
