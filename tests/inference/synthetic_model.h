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

// Networks that use every part an Architecture can have, in sizes that all block types divide.
struct NamedArchitecture {
  std::string name;
  model::Architecture architecture;
};

// Sliding windows of 7 on the second layer, q/k norms, biases everywhere.
inline model::Architecture WindowArchitecture() {
  model::Architecture a = SmallArchitecture();
  a.qkv_bias = a.attention_output_bias = a.mlp_bias = a.qk_norm = true;
  a.sliding_window = 7;
  a.sliding_layers = {false, true};
  a.rope.layout = model::Rope::Layout::kInterleaved;
  a.rope.type = model::Rope::Type::kYarn;
  a.rope.factor = 4.0;
  a.rope.original_max_positions = 128;
  return a;
}

// Latent attention with and without a query latent; experts in groups on the second layer.
inline model::Architecture LatentArchitecture(bool query_latent) {
  model::Architecture a = SmallArchitecture();
  a.num_kv_heads = a.num_heads = 12;  // more heads than are processed at once
  a.latent = model::LatentAttention{.query_rank = query_latent ? 32 : 0,
                                    .kv_rank = 32,
                                    .nope_dim = 32,
                                    .rope_dim = 16,
                                    .value_dim = 32};
  a.head_dim = 48;
  a.qkv_bias = a.attention_output_bias = query_latent;
  a.experts = model::Experts{.count = 8, .per_token = 3, .intermediate_size = 32, .shared = 2};
  if (query_latent) {
    a.experts->groups = 4;
    a.experts->groups_per_token = 2;
    a.experts->gate = model::Experts::Gate::kSigmoid;
    a.experts->group_score = model::Experts::GroupScore::kTwoBest;
    a.experts->correction_bias = a.experts->normalize = true;
    a.experts->scale = 2.5;
  }
  a.expert_layers = {false, true};
  a.rope.layout = model::Rope::Layout::kInterleaved;
  return a;
}

inline std::vector<NamedArchitecture> Architectures() {
  return {{"grouped", SmallArchitecture()},
          {"window", WindowArchitecture()},
          {"latent", LatentArchitecture(false)},
          {"latent_query", LatentArchitecture(true)}};
}

// A model of random weights in memory: matrices of one type, vectors in F32. No tokenizer.
class SyntheticModel : public model::ModelFiles {
 public:
  SyntheticModel(model::Architecture architecture, model::DataType type, std::uint64_t seed)
      : architecture_(std::move(architecture)), type_(type), generator_(seed) {
    for (const auto& [name, shape] : model::ExpectedTensors(architecture_)) {
      Add(name, shape, shape.size() == 1 ? model::DataType::kF32 : type);
    }
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
  // Parts of the matrix's type, as a file that keeps them apart has them.
  base::Result<model::LatentUpProjection> LatentUp(std::int64_t layer) const override {
    CLOISTER_ASSIGN_OR_RETURN(model::LatentUpProjection up, ModelFiles::LatentUp(layer));
    for (model::TensorView* part : {&up.key, &up.value}) {
      if (part->type == type_) continue;
      part->owned =
          std::make_shared<const std::vector<std::byte>>(Quantized(type_, model::ToFloat(*part)));
      part->data = *part->owned;
      part->type = type_;
    }
    return up;
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
    tensors_[name] = {type, std::move(shape), Quantized(type, values)};
  }

  static std::vector<std::byte> Quantized(model::DataType type, const std::vector<float>& values) {
    const auto count = static_cast<std::int64_t>(values.size());
    std::vector<std::byte> bytes(
        static_cast<std::size_t>(count / model::BlockSize(type) * model::BlockBytes(type)));
    model::Quantize(type, values.data(), bytes.data(), count);
    return bytes;
  }

  model::Architecture architecture_;
  model::DataType type_;
  std::mt19937_64 generator_;
  std::map<std::string, Stored> tensors_;
};

}  // namespace cloister::inference
