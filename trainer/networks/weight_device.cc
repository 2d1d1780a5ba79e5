// Weights on another device than the CPU.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <initializer_list>
#include <unordered_map>

#include "trainer/networks/layer_linears.h"
#include "trainer/networks/weights.h"

namespace cloister::trainer {
namespace {

// Calls use(tensor) for each that there is.
template <typename Use>
void ForTensors(const Use& use, std::initializer_list<at::Tensor*> tensors) {
  for (at::Tensor* const tensor : tensors) {
    if (tensor->defined()) use(*tensor);
  }
}

template <typename Use>
void ForTensors(const Use& use, LayerWeights& layer) {
  ForTensors(use, {&layer.input_norm, &layer.post_norm});
  if (layer.grouped) ForTensors(use, {&layer.grouped->q_norm, &layer.grouped->k_norm});
  if (layer.latent) ForTensors(use, {&layer.latent->query_norm, &layer.latent->kv_norm});
  if (layer.mixture) {
    ForTensors(use, {&layer.mixture->router, &layer.mixture->correction_bias});
  }
  ForLinears(layer, [&](LinearWeights& linear) {
    ForTensors(use, {&linear.weight, &linear.bias, &linear.rounded});
  });
}

}  // namespace

at::Tensor NetworkWeights::MoveTo(const at::Device& device, const at::Tensor& flat) {
  const at::NoGradGuard no_grad;
  const at::Tensor copy = flat.defined() ? flat.detach().to(device) : flat;
  std::unordered_map<const c10::TensorImpl*, at::Tensor> moved;  // a tied matrix is one
  const auto move = [&](at::Tensor& tensor) {
    at::Tensor& to = moved[tensor.unsafeGetTensorImpl()];
    if (!to.defined()) {
      to = copy.defined() && tensor.is_alias_of(flat)
               ? copy.as_strided(tensor.sizes(), tensor.strides(), tensor.storage_offset())
               : tensor.to(device);
    }
    tensor = to;
  };
  ForTensors(move, {&embedding, &final_norm, &head, &rounded_head});
  for (LayerWeights& layer : layers) ForTensors(move, layer);
  return copy;
}

}  // namespace cloister::trainer
