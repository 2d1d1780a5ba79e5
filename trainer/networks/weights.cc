#include "trainer/networks/weights.h"

#include <ATen/ATen.h>

#include <initializer_list>
#include <string>
#include <utility>

#include "model/tensor.h"

namespace cloister::trainer {
namespace {

void CopyRows(const model::TensorView& view, float* to) {
  model::DequantizeRows(view, 0, view.rows(), to);
}

// The named tensors, one below the other.
base::Result<at::Tensor> Load(const model::ModelFiles& files,
                              std::initializer_list<std::string> names) {
  std::vector<model::TensorView> views;
  std::int64_t rows = 0;
  for (const std::string& name : names) {
    CLOISTER_ASSIGN_OR_RETURN(model::TensorView view, files.Tensor(name));
    rows += view.shape.size() == 1 ? view.elements() : view.rows();
    views.push_back(std::move(view));
  }
  const bool vector = views[0].shape.size() == 1;
  const std::int64_t columns = views[0].row_elements();
  at::Tensor tensor =
      vector ? at::empty({rows}, at::kFloat) : at::empty({rows, columns}, at::kFloat);
  float* to = tensor.mutable_data_ptr<float>();
  for (const model::TensorView& view : views) {
    CopyRows(view, to);
    to += view.elements();
  }
  return tensor;
}

base::Result<LayerWeights> LoadLayer(const model::ModelFiles& files, std::int64_t layer) {
  const std::string prefix = "model.layers." + std::to_string(layer) + ".";
  const auto attention = [&](const char* name) {
    return prefix + "self_attn." + name + "_proj.weight";
  };
  const auto mlp = [&](const char* name) { return prefix + "mlp." + name + "_proj.weight"; };
  LayerWeights weights;
  CLOISTER_ASSIGN_OR_RETURN(weights.input_norm, Load(files, {prefix + "input_layernorm.weight"}));
  CLOISTER_ASSIGN_OR_RETURN(weights.qkv,
                            Load(files, {attention("q"), attention("k"), attention("v")}));
  CLOISTER_ASSIGN_OR_RETURN(weights.output, Load(files, {attention("o")}));
  CLOISTER_ASSIGN_OR_RETURN(weights.post_norm,
                            Load(files, {prefix + "post_attention_layernorm.weight"}));
  CLOISTER_ASSIGN_OR_RETURN(weights.gate_up, Load(files, {mlp("gate"), mlp("up")}));
  CLOISTER_ASSIGN_OR_RETURN(weights.down, Load(files, {mlp("down")}));
  return weights;
}

}  // namespace

std::vector<at::Tensor> NetworkWeights::Parameters() const {
  std::vector<at::Tensor> all = {embedding, final_norm};
  if (!head.is_same(embedding)) all.push_back(head);
  for (const LayerWeights& layer : layers) {
    all.insert(all.end(), {layer.input_norm, layer.qkv, layer.output, layer.post_norm,
                           layer.gate_up, layer.down});
  }
  return all;
}

base::Result<NetworkWeights> LoadWeights(const model::ModelFiles& files,
                                         const model::Architecture& architecture) {
  CLOISTER_RETURN_IF_ERROR(model::CheckTensors(files, architecture));
  NetworkWeights weights;
  CLOISTER_ASSIGN_OR_RETURN(weights.embedding, Load(files, {"model.embed_tokens.weight"}));
  CLOISTER_ASSIGN_OR_RETURN(weights.final_norm, Load(files, {"model.norm.weight"}));
  if (architecture.tie_word_embeddings) {
    weights.head = weights.embedding;
  } else {
    CLOISTER_ASSIGN_OR_RETURN(weights.head, Load(files, {"lm_head.weight"}));
  }
  for (std::int64_t layer = 0; layer < architecture.num_layers; ++layer) {
    CLOISTER_ASSIGN_OR_RETURN(LayerWeights loaded, LoadLayer(files, layer));
    weights.layers.push_back(std::move(loaded));
  }
  return weights;
}

}  // namespace cloister::trainer
