#include "trainer/networks/weights.h"

#include <ATen/ATen.h>

#include <string>
#include <utility>

#include "model/finite.h"
#include "model/tensor.h"

namespace cloister::trainer {
namespace {

using Names = std::vector<std::string>;

// Reads the tensors of one part of the network, whose names begin with `prefix`.
class PartReader {
 public:
  PartReader(const model::ModelFiles& files, std::string prefix, at::ScalarType matrices)
      : files_(files), prefix_(std::move(prefix)), matrices_(matrices) {}

  PartReader Below(const std::string& name) const {
    return {files_, prefix_ + name + ".", matrices_};
  }

  // Of the type that was asked for.
  base::Result<at::Tensor> Matrix(const Names& names) const {
    CLOISTER_ASSIGN_OR_RETURN(const at::Tensor matrix, Tensor(names));
    return matrix.to(matrices_);
  }

  // The named tensors, one below the other, fp32.
  base::Result<at::Tensor> Tensor(const Names& names) const {
    std::vector<model::TensorView> views;
    std::int64_t elements = 0;
    for (const std::string& name : names) {
      CLOISTER_ASSIGN_OR_RETURN(model::TensorView view, files_.Tensor(prefix_ + name));
      CLOISTER_RETURN_IF_ERROR(model::CheckFinite(prefix_ + name, view));
      elements += view.elements();
      views.push_back(std::move(view));
    }
    at::Tensor tensor = at::empty({elements}, at::kFloat);
    float* to = tensor.mutable_data_ptr<float>();
    for (const model::TensorView& view : views) {
      model::DequantizeRows(view, 0, view.rows(), to);
      to += view.elements();
    }
    return views[0].shape.size() == 1 ? tensor : tensor.view({-1, views[0].row_elements()});
  }

  // Linear layers that read the same input.
  base::Result<LinearWeights> Linear(const Names& names, bool bias) const {
    Names weights, biases;
    for (const std::string& name : names) {
      weights.push_back(name + ".weight");
      biases.push_back(name + ".bias");
    }
    LinearWeights linear;
    CLOISTER_ASSIGN_OR_RETURN(linear.weight, Matrix(weights));
    if (!bias) return linear;
    CLOISTER_ASSIGN_OR_RETURN(linear.bias, Tensor(biases));
    return linear;
  }

 private:
  const model::ModelFiles& files_;
  std::string prefix_;
  at::ScalarType matrices_;
};

base::Result<GroupedAttentionWeights> LoadGrouped(const PartReader& part,
                                                  const model::Architecture& a) {
  GroupedAttentionWeights weights;
  CLOISTER_ASSIGN_OR_RETURN(weights.qkv, part.Linear({"q_proj", "k_proj", "v_proj"}, a.qkv_bias));
  if (!a.qk_norm) return weights;
  CLOISTER_ASSIGN_OR_RETURN(weights.q_norm, part.Tensor({"q_norm.weight"}));
  CLOISTER_ASSIGN_OR_RETURN(weights.k_norm, part.Tensor({"k_norm.weight"}));
  return weights;
}

base::Result<LatentAttentionWeights> LoadLatent(const PartReader& part,
                                                const model::Architecture& a) {
  LatentAttentionWeights weights;
  if (a.latent->query_rank == 0) {
    CLOISTER_ASSIGN_OR_RETURN(weights.query, part.Linear({"q_proj"}, false));
  } else {
    CLOISTER_ASSIGN_OR_RETURN(weights.query, part.Linear({"q_a_proj"}, a.qkv_bias));
    CLOISTER_ASSIGN_OR_RETURN(weights.query_norm, part.Tensor({"q_a_layernorm.weight"}));
    CLOISTER_ASSIGN_OR_RETURN(weights.query_up, part.Linear({"q_b_proj"}, false));
  }
  CLOISTER_ASSIGN_OR_RETURN(weights.kv_latent, part.Linear({"kv_a_proj_with_mqa"}, a.qkv_bias));
  CLOISTER_ASSIGN_OR_RETURN(weights.kv_norm, part.Tensor({"kv_a_layernorm.weight"}));
  CLOISTER_ASSIGN_OR_RETURN(weights.kv_up, part.Linear({"kv_b_proj"}, false));
  return weights;
}

base::Result<MlpWeights> LoadMlp(const PartReader& part, bool bias) {
  MlpWeights weights;
  CLOISTER_ASSIGN_OR_RETURN(weights.gate_up, part.Linear({"gate_proj", "up_proj"}, bias));
  CLOISTER_ASSIGN_OR_RETURN(weights.down, part.Linear({"down_proj"}, bias));
  return weights;
}

base::Result<ExpertsWeights> LoadExperts(const PartReader& part, const model::Experts& experts) {
  ExpertsWeights weights;
  CLOISTER_ASSIGN_OR_RETURN(weights.router, part.Tensor({"gate.weight"}));
  if (experts.correction_bias) {
    CLOISTER_ASSIGN_OR_RETURN(weights.correction_bias,
                              part.Tensor({"gate.e_score_correction_bias"}));
  }
  for (std::int64_t i = 0; i < experts.count; ++i) {
    CLOISTER_ASSIGN_OR_RETURN(MlpWeights expert,
                              LoadMlp(part.Below("experts." + std::to_string(i)), false));
    weights.experts.push_back(std::move(expert));
  }
  if (experts.shared > 0) {
    CLOISTER_ASSIGN_OR_RETURN(weights.shared, LoadMlp(part.Below("shared_experts"), false));
  }
  return weights;
}

base::Result<LayerWeights> LoadLayer(const model::ModelFiles& files, const model::Architecture& a,
                                     at::ScalarType matrices, std::int64_t layer) {
  const PartReader part(files, "model.layers." + std::to_string(layer) + ".", matrices);
  const PartReader attention = part.Below("self_attn"), mlp = part.Below("mlp");
  LayerWeights weights;
  CLOISTER_ASSIGN_OR_RETURN(weights.input_norm, part.Tensor({"input_layernorm.weight"}));
  if (a.latent) {
    CLOISTER_ASSIGN_OR_RETURN(weights.latent, LoadLatent(attention, a));
  } else {
    CLOISTER_ASSIGN_OR_RETURN(weights.grouped, LoadGrouped(attention, a));
  }
  CLOISTER_ASSIGN_OR_RETURN(weights.output, attention.Linear({"o_proj"}, a.attention_output_bias));
  CLOISTER_ASSIGN_OR_RETURN(weights.post_norm, part.Tensor({"post_attention_layernorm.weight"}));
  if (a.has_experts(layer)) {
    CLOISTER_ASSIGN_OR_RETURN(weights.mixture, LoadExperts(mlp, *a.experts));
  } else {
    CLOISTER_ASSIGN_OR_RETURN(weights.dense, LoadMlp(mlp, a.mlp_bias));
  }
  return weights;
}

// Collects tensors that are there.
class ParameterList {
 public:
  void Add(const at::Tensor& tensor) {
    if (tensor.defined()) all_.push_back(tensor);
  }
  void Add(const LinearWeights& linear) {
    Add(linear.weight);
    Add(linear.bias);
  }
  void Add(const MlpWeights& mlp) {
    Add(mlp.gate_up);
    Add(mlp.down);
  }
  void Add(const GroupedAttentionWeights& attention) {
    Add(attention.qkv);
    Add(attention.q_norm);
    Add(attention.k_norm);
  }
  void Add(const LatentAttentionWeights& attention) {
    Add(attention.query);
    Add(attention.query_norm);
    Add(attention.query_up);
    Add(attention.kv_latent);
    Add(attention.kv_norm);
    Add(attention.kv_up);
  }
  void Add(const ExpertsWeights& experts) {
    Add(experts.router);
    for (const MlpWeights& expert : experts.experts) Add(expert);
    if (experts.shared) Add(*experts.shared);
  }
  void Add(const LayerWeights& layer) {
    Add(layer.input_norm);
    if (layer.grouped) Add(*layer.grouped);
    if (layer.latent) Add(*layer.latent);
    Add(layer.output);
    Add(layer.post_norm);
    if (layer.dense) Add(*layer.dense);
    if (layer.mixture) Add(*layer.mixture);
  }
  std::vector<at::Tensor> Take() && { return std::move(all_); }

 private:
  std::vector<at::Tensor> all_;
};

void RoundMatrix(const at::Tensor& weight, at::Tensor& rounded) {
  if (!weight.defined() || weight.scalar_type() != at::kFloat) return;
  if (!rounded.defined())
    rounded = at::empty(weight.sizes(), weight.options().dtype(at::kBFloat16));
  rounded.copy_(weight.detach());
}

void RoundLinear(LinearWeights& linear) { RoundMatrix(linear.weight, linear.rounded); }

void RoundMlp(MlpWeights& mlp) {
  RoundLinear(mlp.gate_up);
  RoundLinear(mlp.down);
}

}  // namespace

void NetworkWeights::Round() {
  RoundMatrix(head, rounded_head);
  for (LayerWeights& layer : layers) {
    if (layer.grouped) RoundLinear(layer.grouped->qkv);
    if (layer.latent) {
      for (LinearWeights* linear : {&layer.latent->query, &layer.latent->query_up,
                                    &layer.latent->kv_latent, &layer.latent->kv_up}) {
        RoundLinear(*linear);
      }
    }
    RoundLinear(layer.output);
    if (layer.dense) RoundMlp(*layer.dense);
    if (!layer.mixture) continue;
    for (MlpWeights& expert : layer.mixture->experts) RoundMlp(expert);
    if (layer.mixture->shared) RoundMlp(*layer.mixture->shared);
  }
}

std::vector<at::Tensor> LayerWeights::Parameters() const {
  ParameterList all;
  all.Add(*this);
  return std::move(all).Take();
}

std::vector<at::Tensor> NetworkWeights::Parameters() const {
  ParameterList all;
  all.Add(embedding);
  all.Add(final_norm);
  if (!head.is_same(embedding)) all.Add(head);
  for (const LayerWeights& layer : layers) all.Add(layer);
  return std::move(all).Take();
}

base::Result<NetworkWeights> LoadWeights(const model::ModelFiles& files,
                                         const model::Architecture& architecture,
                                         Precision precision) {
  CLOISTER_RETURN_IF_ERROR(model::CheckTensors(files, architecture));
  const at::ScalarType matrices = precision == Precision::kBf16 ? at::kBFloat16 : at::kFloat;
  const PartReader all(files, "", matrices);
  NetworkWeights weights;
  CLOISTER_ASSIGN_OR_RETURN(weights.embedding, all.Matrix({"model.embed_tokens.weight"}));
  CLOISTER_ASSIGN_OR_RETURN(weights.final_norm, all.Tensor({"model.norm.weight"}));
  if (architecture.tie_word_embeddings) {
    weights.head = weights.embedding;
  } else {
    CLOISTER_ASSIGN_OR_RETURN(weights.head, all.Matrix({"lm_head.weight"}));
  }
  for (std::int64_t layer = 0; layer < architecture.num_layers; ++layer) {
    CLOISTER_ASSIGN_OR_RETURN(LayerWeights loaded, LoadLayer(files, architecture, matrices, layer));
    weights.layers.push_back(std::move(loaded));
  }
  return weights;
}

}  // namespace cloister::trainer
