#include "inference/engine/weights.h"

#include <string>
#include <utility>

namespace cloister::inference {
namespace {

class Loader {
 public:
  Loader(const model::ModelFiles& files, Weights& weights, bool as_f32)
      : files_(files), weights_(weights), as_f32_(as_f32) {}

  // Keeps the first failure; later calls do nothing.
  void Matrix(const std::string& name, model::TensorView& to) {
    if (!status_) return;
    auto tensor = files_.Tensor(name);
    if (!tensor) {
      status_ = base::Forward(std::move(tensor));
      return;
    }
    to = std::move(*tensor);
    if (!as_f32_ || to.type == model::DataType::kF32) return;
    auto copy = std::make_shared<const std::vector<float>>(model::ToFloat(to));
    to.type = model::DataType::kF32;
    to.data = std::as_bytes(std::span(*copy));
    weights_.f32.push_back(std::move(copy));
  }

  void Vector(const std::string& name, std::vector<float>& to) {
    if (!status_) return;
    auto tensor = files_.Tensor(name);
    if (!tensor) {
      status_ = base::Forward(std::move(tensor));
      return;
    }
    to = model::ToFloat(*tensor);
  }

  void Layer(std::int64_t index, LayerWeights& layer) {
    const std::string prefix = "model.layers." + std::to_string(index) + ".";
    Vector(prefix + "input_layernorm.weight", layer.attention_norm);
    Matrix(prefix + "self_attn.q_proj.weight", layer.query);
    Matrix(prefix + "self_attn.k_proj.weight", layer.key);
    Matrix(prefix + "self_attn.v_proj.weight", layer.value);
    Matrix(prefix + "self_attn.o_proj.weight", layer.attention_output);
    Vector(prefix + "post_attention_layernorm.weight", layer.mlp_norm);
    Matrix(prefix + "mlp.gate_proj.weight", layer.gate);
    Matrix(prefix + "mlp.up_proj.weight", layer.up);
    Matrix(prefix + "mlp.down_proj.weight", layer.down);
  }

  base::Status status() { return std::move(status_); }

 private:
  const model::ModelFiles& files_;
  Weights& weights_;
  bool as_f32_;
  base::Status status_;
};

}  // namespace

base::Result<Weights> LoadWeights(std::shared_ptr<const model::ModelFiles> files,
                                  const model::Architecture& architecture, bool as_f32) {
  CLOISTER_RETURN_IF_ERROR(model::CheckTensors(*files, architecture));
  Weights weights;
  weights.files = files;
  weights.layers.resize(static_cast<std::size_t>(architecture.num_layers));
  Loader loader(*files, weights, as_f32);
  loader.Matrix("model.embed_tokens.weight", weights.embedding);
  for (std::int64_t i = 0; i < architecture.num_layers; ++i) {
    loader.Layer(i, weights.layers[static_cast<std::size_t>(i)]);
  }
  loader.Vector("model.norm.weight", weights.final_norm);
  if (architecture.tie_word_embeddings) {
    weights.head = weights.embedding;
  } else {
    loader.Matrix("lm_head.weight", weights.head);
  }
  CLOISTER_RETURN_IF_ERROR(loader.status());
  return weights;
}

}  // namespace cloister::inference
