#include "inference/engine/weights.h"

#include <memory>
#include <span>
#include <string>
#include <utility>

#include "model/finite.h"

namespace cloister::inference {
namespace {

using model::DataType;
using model::TensorView;

std::vector<std::byte> BytesOf(const std::vector<float>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {bytes.begin(), bytes.end()};
}

class Loader {
 public:
  Loader(const model::ModelFiles& files, const model::Architecture& architecture, Weights& weights,
         bool as_f32)
      : files_(files), a_(architecture), weights_(weights), as_f32_(as_f32) {}

  void LoadAll() {
    Matrix("model.embed_tokens.weight", weights_.embedding);
    for (std::int64_t i = 0; i < a_.num_layers; ++i) {
      prefix_ = "model.layers." + std::to_string(i) + ".";
      Layer(i, weights_.layers.emplace_back());
    }
    prefix_.clear();
    Vector("model.norm.weight", weights_.final_norm);
    if (a_.tie_word_embeddings) {
      weights_.head = weights_.embedding;
    } else {
      Matrix("lm_head.weight", weights_.head);
    }
  }

  base::Status status() { return std::move(status_); }

 private:
  // An empty view after a failure. Keeps the first failure; later calls do nothing.
  TensorView Find(const std::string& name) {
    if (!status_) return {};
    auto tensor = files_.Tensor(prefix_ + name);
    if (tensor) return *std::move(tensor);
    status_ = base::Forward(std::move(tensor));
    return {};
  }

  void Matrix(const std::string& name, TensorView& to) {
    to = Find(name);
    if (status_ && as_f32_) ToF32(to);
  }

  void ToF32(TensorView& view) {
    if (view.type == DataType::kF32) return;
    view.owned = std::make_shared<const std::vector<std::byte>>(BytesOf(model::ToFloat(view)));
    view.data = *view.owned;
    view.type = DataType::kF32;
    view.scales = {};
  }

  base::Status Finite(const std::string& name, const TensorView& view) const {
    base::Status status = model::CheckFinite(prefix_ + name, view);
    return status ? status : base::Annotate(std::move(status), files_.path().string());
  }

  void Vector(const std::string& name, std::vector<float>& to) {
    const TensorView view = Find(name);
    if (status_) status_ = Finite(name, view);
    if (status_) to = model::ToFloat(view);
  }

  void Linear(const std::string& name, bool bias, LinearWeights& to) {
    Matrix(name + ".weight", to.matrix);
    if (bias) Vector(name + ".bias", to.bias);
  }

  void Layer(std::int64_t index, LayerWeights& layer) {
    Vector("input_layernorm.weight", layer.attention_norm);
    if (a_.latent) {
      LatentAttention(index, layer.latent.emplace());
    } else {
      GroupedAttention(layer.grouped.emplace());
    }
    Linear("self_attn.o_proj", a_.attention_output_bias, layer.attention_output);
    Vector("post_attention_layernorm.weight", layer.mlp_norm);
    if (a_.has_experts(index)) {
      ExpertMixture(layer.experts.emplace());
    } else {
      Mlp("mlp.", a_.mlp_bias, layer.mlp.emplace());
    }
  }

  void GroupedAttention(GroupedAttentionWeights& to) {
    Linear("self_attn.q_proj", a_.qkv_bias, to.query);
    Linear("self_attn.k_proj", a_.qkv_bias, to.key);
    Linear("self_attn.v_proj", a_.qkv_bias, to.value);
    if (!a_.qk_norm) return;
    Vector("self_attn.q_norm.weight", to.query_norm);
    Vector("self_attn.k_norm.weight", to.key_norm);
  }

  void LatentAttention(std::int64_t layer, LatentAttentionWeights& to) {
    if (a_.latent->query_rank > 0) {
      Linear("self_attn.q_a_proj", a_.qkv_bias, to.query_down);
      Vector("self_attn.q_a_layernorm.weight", to.query_norm);
      Linear("self_attn.q_b_proj", false, to.query_up);
    } else {
      Linear("self_attn.q_proj", false, to.query_up);
    }
    Linear("self_attn.kv_a_proj_with_mqa", a_.qkv_bias, to.kv_down);
    Vector("self_attn.kv_a_layernorm.weight", to.kv_norm);
    UpProjection(layer, to);
  }

  void UpProjection(std::int64_t layer, LatentAttentionWeights& to) {
    if (!status_) return;
    auto up = files_.LatentUp(layer);
    if (!up) {
      status_ = base::Forward(std::move(up));
      return;
    }
    if (as_f32_) {
      ToF32(up->key);
      ToF32(up->value);
    }
    for (std::int64_t head = 0; head < a_.num_heads; ++head) {
      to.key_up.push_back(model::Slice(up->key, head));
      to.value_up.push_back(model::Slice(up->value, head));
    }
  }

  void Mlp(const std::string& name, bool bias, MlpWeights& to) {
    Linear(name + "gate_proj", bias, to.gate);
    Linear(name + "up_proj", bias, to.up);
    Linear(name + "down_proj", bias, to.down);
  }

  void ExpertMixture(ExpertsWeights& to) {
    const model::Experts& experts = *a_.experts;
    // Looked at now: an expert whose score is no number would never be chosen, and nothing show it.
    to.router = Find("mlp.gate.weight");
    if (status_) status_ = Finite("mlp.gate.weight", to.router);
    if (!status_) return;
    ToF32(to.router);
    if (experts.correction_bias) Vector("mlp.gate.e_score_correction_bias", to.bias);
    to.each.resize(static_cast<std::size_t>(experts.count));
    for (std::int64_t i = 0; i < experts.count; ++i) {
      Mlp("mlp.experts." + std::to_string(i) + ".", false, to.each[static_cast<std::size_t>(i)]);
    }
    if (experts.shared > 0) Mlp("mlp.shared_experts.", false, to.shared.emplace());
  }

  const model::ModelFiles& files_;
  const model::Architecture& a_;
  Weights& weights_;
  bool as_f32_;
  std::string prefix_;  // of the layer's tensors
  base::Status status_;
};

}  // namespace

base::Result<Weights> LoadWeights(std::shared_ptr<const model::ModelFiles> files,
                                  const model::Architecture& architecture, bool as_f32) {
  CLOISTER_RETURN_IF_ERROR(model::CheckTensors(*files, architecture));
  Weights weights;
  weights.files = files;
  Loader loader(*files, architecture, weights, as_f32);
  loader.LoadAll();
  CLOISTER_RETURN_IF_ERROR(loader.status());
  return weights;
}

}  // namespace cloister::inference
