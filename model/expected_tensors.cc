#include <string>
#include <utility>
#include <vector>

#include "model/model_files.h"

namespace cloister::model {
namespace {

using Shape = std::vector<std::int64_t>;

// The tensors of one layer, under its prefix.
class LayerTensors {
 public:
  LayerTensors(const Architecture& architecture, std::int64_t layer, std::vector<NamedShape>& to)
      : a_(architecture),
        layer_(layer),
        prefix_("model.layers." + std::to_string(layer) + "."),
        to_(to) {}

  void AddAll() {
    Add("input_layernorm.weight", {a_.hidden_size});
    if (a_.latent) {
      AddLatentAttention(*a_.latent);
    } else {
      AddGroupedAttention();
    }
    AddLinear("self_attn.o_proj", a_.hidden_size, a_.attended_size(), a_.attention_output_bias);
    Add("post_attention_layernorm.weight", {a_.hidden_size});
    if (a_.has_experts(layer_)) {
      AddExperts(*a_.experts);
    } else {
      AddMlp("mlp.", a_.intermediate_size, a_.mlp_bias);
    }
  }

 private:
  void Add(const std::string& name, Shape shape) {
    to_.push_back({prefix_ + name, std::move(shape)});
  }

  void AddLinear(const std::string& name, std::int64_t out, std::int64_t in, bool bias) {
    Add(name + ".weight", {out, in});
    if (bias) Add(name + ".bias", {out});
  }

  void AddGroupedAttention() {
    AddLinear("self_attn.q_proj", a_.query_size(), a_.hidden_size, a_.qkv_bias);
    AddLinear("self_attn.k_proj", a_.kv_size(), a_.hidden_size, a_.qkv_bias);
    AddLinear("self_attn.v_proj", a_.kv_size(), a_.hidden_size, a_.qkv_bias);
    if (!a_.qk_norm) return;
    Add("self_attn.q_norm.weight", {a_.head_dim});
    Add("self_attn.k_norm.weight", {a_.head_dim});
  }

  void AddLatentAttention(const LatentAttention& latent) {
    if (latent.query_rank == 0) {
      Add("self_attn.q_proj.weight", {a_.query_size(), a_.hidden_size});
    } else {
      AddLinear("self_attn.q_a_proj", latent.query_rank, a_.hidden_size, a_.qkv_bias);
      Add("self_attn.q_a_layernorm.weight", {latent.query_rank});
      Add("self_attn.q_b_proj.weight", {a_.query_size(), latent.query_rank});
    }
    AddLinear("self_attn.kv_a_proj_with_mqa", latent.kv_rank + latent.rope_dim, a_.hidden_size,
              a_.qkv_bias);
    Add("self_attn.kv_a_layernorm.weight", {latent.kv_rank});
    Add("self_attn.kv_b_proj.weight",
        {a_.num_heads * (latent.nope_dim + latent.value_dim), latent.kv_rank});
  }

  void AddMlp(const std::string& name, std::int64_t size, bool bias) {
    AddLinear(name + "gate_proj", size, a_.hidden_size, bias);
    AddLinear(name + "up_proj", size, a_.hidden_size, bias);
    AddLinear(name + "down_proj", a_.hidden_size, size, bias);
  }

  void AddExperts(const Experts& experts) {
    Add("mlp.gate.weight", {experts.count, a_.hidden_size});
    if (experts.correction_bias) Add("mlp.gate.e_score_correction_bias", {experts.count});
    for (std::int64_t i = 0; i < experts.count; ++i) {
      AddMlp("mlp.experts." + std::to_string(i) + ".", experts.intermediate_size, false);
    }
    if (experts.shared > 0) {
      AddMlp("mlp.shared_experts.", experts.shared * experts.intermediate_size, false);
    }
  }

  const Architecture& a_;
  std::int64_t layer_;
  std::string prefix_;
  std::vector<NamedShape>& to_;
};

}  // namespace

std::vector<NamedShape> ExpectedTensors(const Architecture& a) {
  std::vector<NamedShape> expected = {{"model.embed_tokens.weight", {a.vocab_size, a.hidden_size}}};
  for (std::int64_t layer = 0; layer < a.num_layers; ++layer) {
    LayerTensors(a, layer, expected).AddAll();
  }
  expected.push_back({"model.norm.weight", {a.hidden_size}});
  if (!a.tie_word_embeddings) {
    expected.push_back({"lm_head.weight", {a.vocab_size, a.hidden_size}});
  }
  return expected;
}

}  // namespace cloister::model
