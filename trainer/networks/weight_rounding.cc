// The bfloat16 copies of trained weights.
#include <ATen/ATen.h>

#include "trainer/networks/layer_linears.h"
#include "trainer/networks/weights.h"

namespace cloister::trainer {
namespace {

void RoundMatrix(const at::Tensor& weight, at::Tensor& rounded) {
  if (!weight.defined() || weight.scalar_type() != at::kFloat) return;
  if (!rounded.defined())
    rounded = at::empty(weight.sizes(), weight.options().dtype(at::kBFloat16));
  rounded.copy_(weight.detach());
}

void RoundLinear(LinearWeights& linear) { RoundMatrix(linear.weight, linear.rounded); }

}  // namespace

void NetworkWeights::Round() {
  RoundMatrix(head, rounded_head);
  for (LayerWeights& layer : layers) ForLinears(layer, RoundLinear);
}

void NetworkWeights::RoundLayer(std::int64_t layer, bool here) {
  if (layer < 0) {
    here ? RoundMatrix(head, rounded_head) : rounded_head.reset();
    return;
  }
  ForLinears(layers[static_cast<std::size_t>(layer)], [here](LinearWeights& linear) {
    here ? RoundLinear(linear) : linear.rounded.reset();
  });
}

}  // namespace cloister::trainer
