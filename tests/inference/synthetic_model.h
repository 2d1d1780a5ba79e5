#pragma once

#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "model/model_files.h"

namespace cloister::inference {

inline model::Architecture SmallArchitecture() {
  model::Architecture a;
  a.vocab_size = 97;
  a.hidden_size = 64;
  a.intermediate_size = 96;
  a.num_layers = 2;
  a.num_heads = 4;
  a.num_kv_heads = 2;
  a.head_dim = 16;
  a.max_positions = 512;
  a.tie_word_embeddings = true;
  a.eos_token_ids = {2};
  return a;
}

// A model of random weights in memory: matrices of one type, norms in F32. No tokenizer.
class SyntheticModel : public model::ModelFiles {
 public:
  SyntheticModel(model::Architecture architecture, model::DataType type, std::uint64_t seed)
      : architecture_(std::move(architecture)), generator_(seed) {
    const model::Architecture& a = architecture_;
    Add("model.embed_tokens.weight", {a.vocab_size, a.hidden_size}, type);
    for (std::int64_t i = 0; i < a.num_layers; ++i) {
      const std::string layer = "model.layers." + std::to_string(i) + ".";
      Add(layer + "input_layernorm.weight", {a.hidden_size}, model::DataType::kF32);
      Add(layer + "self_attn.q_proj.weight", {a.query_size(), a.hidden_size}, type);
      Add(layer + "self_attn.k_proj.weight", {a.kv_size(), a.hidden_size}, type);
      Add(layer + "self_attn.v_proj.weight", {a.kv_size(), a.hidden_size}, type);
      Add(layer + "self_attn.o_proj.weight", {a.hidden_size, a.query_size()}, type);
      Add(layer + "post_attention_layernorm.weight", {a.hidden_size}, model::DataType::kF32);
      Add(layer + "mlp.gate_proj.weight", {a.intermediate_size, a.hidden_size}, type);
      Add(layer + "mlp.up_proj.weight", {a.intermediate_size, a.hidden_size}, type);
      Add(layer + "mlp.down_proj.weight", {a.hidden_size, a.intermediate_size}, type);
    }
    Add("model.norm.weight", {a.hidden_size}, model::DataType::kF32);
    if (!a.tie_word_embeddings) Add("lm_head.weight", {a.vocab_size, a.hidden_size}, type);
  }

  // Makes one weight of a tensor in F32 what it should not be.
  void Spoil(const std::string& name, float value) {
    std::memcpy(tensors_.at(name).bytes.data(), &value, sizeof(value));
  }
  void Remove(const std::string& name) { tensors_.erase(name); }

  base::Result<model::Architecture> architecture() const override { return architecture_; }
  std::vector<std::string> TensorNames() const override {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : tensors_) names.push_back(name);
    return names;
  }
  base::Result<model::TensorView> Tensor(const std::string& name) const override {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) {
      return base::Fail(base::Code::kDataLoss, "synthetic: no tensor " + name);
    }
    return model::TensorView{found->second.type, found->second.shape, found->second.bytes};
  }
  base::Result<std::shared_ptr<const model::Tokenizer>> LoadTokenizer() const override {
    return base::Fail(base::Code::kNotFound, "synthetic: no tokenizer");
  }
  base::Result<std::shared_ptr<const model::ChatTemplate>> LoadChatTemplate() const override {
    return base::Fail(base::Code::kNotFound, "synthetic: no chat template");
  }
  std::string format() const override { return "synthetic"; }
  std::filesystem::path path() const override { return "synthetic"; }

 private:
  struct Stored {
    model::DataType type;
    std::vector<std::int64_t> shape;
    std::vector<std::byte> bytes;
  };

  void Add(const std::string& name, std::vector<std::int64_t> shape, model::DataType type) {
    std::int64_t count = 1;
    for (const std::int64_t size : shape) count *= size;
    const float scale = shape.size() == 1 ? 1.0f : 0.2f;
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& value : values) {
      value = scale * (static_cast<float>(generator_() % 2001) / 1000.0f - 1.0f);
    }
    Stored stored{type, std::move(shape), {}};
    stored.bytes.resize(
        static_cast<std::size_t>(count / model::BlockSize(type) * model::BlockBytes(type)));
    model::Quantize(type, values.data(), stored.bytes.data(), count);
    tensors_[name] = std::move(stored);
  }

  model::Architecture architecture_;
  std::mt19937_64 generator_;
  std::map<std::string, Stored> tensors_;
};

}  // namespace cloister::inference
