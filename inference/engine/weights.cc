#include "inference/engine/weights.h"

#include <cstring>
#include <span>
#include <string>
#include <utility>

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

  // `bytes` as the data of `view`, in type `type`.
  void Keep(std::vector<std::byte> bytes, DataType type, TensorView& view) {
    auto copy = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
    view.type = type;
    view.data = *copy;
    view.scales = {};
    weights_.copies.push_back(std::move(copy));
  }

  void Matrix(const std::string& name, TensorView& to) {
    to = Find(name);
    if (status_ && as_f32_) ToF32(to);
  }

  void ToF32(TensorView& view) {
    if (view.type != DataType::kF32) Keep(BytesOf(model::ToFloat(view)), DataType::kF32, view);
  }

  void Vector(const std::string& name, std::vector<float>& to) {
    const TensorView view = Find(name);
    if (status_) to = model::ToFloat(view);
  }

  void Linear(const std::string& name, bool bias, LinearWeights& to) {
    Matrix(name + ".weight", to.matrix);
    if (bias) Vector(name + ".bias", to.bias);
  }

  void Layer(std::int64_t index, LayerWeights& layer) {
    Vector("input_layernorm.weight", layer.attention_norm);
    if (a_.latent) {
      LatentAttention(layer.latent.emplace());
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

  void LatentAttention(LatentAttentionWeights& to) {
    if (a_.latent->query_rank > 0) {
      Linear("self_attn.q_a_proj", a_.qkv_bias, to.query_down);
      Vector("self_attn.q_a_layernorm.weight", to.query_norm);
      Linear("self_attn.q_b_proj", false, to.query_up);
    } else {
      Linear("self_attn.q_proj", false, to.query_up);
    }
    Linear("self_attn.kv_a_proj_with_mqa", a_.qkv_bias, to.kv_down);
    Vector("self_attn.kv_a_layernorm.weight", to.kv_norm);
    SplitUpProjection(to);
  }

  // kv_b_proj, a head's key rows above its value rows, into the keys' transposed and the values'.
  void SplitUpProjection(LatentAttentionWeights& to) {
    const TensorView stored = Find("self_attn.kv_b_proj.weight");
    if (!status_) return;
    const model::LatentAttention& latent = *a_.latent;
    const bool plain =
        !as_f32_ && (stored.type == DataType::kF32 || stored.type == DataType::kF16 ||
                     stored.type == DataType::kBF16);
    const DataType type = plain ? stored.type : DataType::kF32;
    const auto size = static_cast<std::size_t>(model::BlockBytes(type));
    const std::vector<std::byte> floats =
        plain ? std::vector<std::byte>() : BytesOf(model::ToFloat(stored));
    const std::byte* from = plain ? stored.data.data() : floats.data();
    const auto rank = static_cast<std::size_t>(latent.kv_rank);
    const auto nope = static_cast<std::size_t>(latent.nope_dim);
    const auto values = static_cast<std::size_t>(latent.value_dim);
    const auto heads = static_cast<std::size_t>(a_.num_heads);
    std::vector<std::byte> key_up(heads * rank * nope * size);
    std::vector<std::byte> value_up(heads * values * rank * size);
    for (std::size_t head = 0; head < heads; ++head) {
      std::byte* keys = key_up.data() + head * rank * nope * size;
      for (std::size_t row = 0; row < nope; ++row) {
        for (std::size_t column = 0; column < rank; ++column) {
          std::memcpy(keys + (column * nope + row) * size, from + (row * rank + column) * size,
                      size);
        }
      }
      from += nope * rank * size;
      std::memcpy(value_up.data() + head * values * rank * size, from, values * rank * size);
      from += values * rank * size;
    }
    to.key_up.shape = {a_.num_heads, latent.kv_rank, latent.nope_dim};
    Keep(std::move(key_up), type, to.key_up);
    to.value_up.shape = {a_.num_heads, latent.value_dim, latent.kv_rank};
    Keep(std::move(value_up), type, to.value_up);
  }

  void Mlp(const std::string& name, bool bias, MlpWeights& to) {
    Linear(name + "gate_proj", bias, to.gate);
    Linear(name + "up_proj", bias, to.up);
    Linear(name + "down_proj", bias, to.down);
  }

  void ExpertMixture(ExpertsWeights& to) {
    const model::Experts& experts = *a_.experts;
    to.router = Find("mlp.gate.weight");
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
