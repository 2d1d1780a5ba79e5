#include <algorithm>
#include <string>

#include "model/gguf/gguf_architecture.h"
#include "model/gguf/gguf_layout.h"

namespace cloister::model {
namespace {

using base::Code;

// Writes keys of one architecture: "llama." and what follows.
class NetworkKeys {
 public:
  NetworkKeys(const std::string& architecture, GgufMetadata& metadata)
      : prefix_(architecture + "."), metadata_(metadata) {}

  void Size(const char* name, std::int64_t value) {
    metadata_.AddUint32(prefix_ + name, static_cast<std::uint32_t>(value));
  }
  void Number(const char* name, double value) {
    metadata_.AddFloat32(prefix_ + name, static_cast<float>(value));
  }
  void Bool(const char* name, bool value) { metadata_.AddBool(prefix_ + name, value); }
  void String(const char* name, const std::string& value) {
    metadata_.AddString(prefix_ + name, value);
  }

 private:
  std::string prefix_;
  GgufMetadata& metadata_;
};

void AddLatentAttention(const LatentAttention& latent, const Architecture& a, NetworkKeys& keys) {
  // 0 where there is none: llama.cpp asks for the key.
  keys.Size("attention.q_lora_rank", latent.query_rank);
  keys.Size("attention.kv_lora_rank", latent.kv_rank);
  // As one shared head that holds the latent and the rotated key, and as the heads' own sizes.
  keys.Size("attention.head_count_kv", 1);
  keys.Size("attention.key_length", latent.kv_rank + latent.rope_dim);
  keys.Size("attention.value_length", latent.kv_rank);
  keys.Size("attention.key_length_mla", a.head_dim);
  keys.Size("attention.value_length_mla", latent.value_dim);
}

void AddExperts(const Architecture& a, NetworkKeys& keys) {
  const Experts experts = a.experts.value_or(Experts{});
  const auto first = std::find(a.expert_layers.begin(), a.expert_layers.end(), true);
  keys.Size("leading_dense_block_count",
            a.experts ? first - a.expert_layers.begin() : a.num_layers);
  keys.Size("expert_feed_forward_length",
            a.experts ? experts.intermediate_size : a.intermediate_size);
  keys.Size("expert_shared_count", experts.shared);
  if (!a.experts) return;
  keys.Size("expert_count", experts.count);
  keys.Size("expert_used_count", experts.per_token);
  keys.Size("expert_group_count", experts.groups);
  keys.Size("expert_group_used_count", experts.groups_per_token);
  keys.Number("expert_weights_scale", experts.scale);
  keys.Bool("expert_weights_norm", experts.normalize);
  keys.Size("expert_gating_func",
            experts.gate == Experts::Gate::kSigmoid ? kSigmoidGate : kSoftmaxGate);
}

void AddYarn(const Architecture& a, NetworkKeys& keys) {
  const Rope& rope = a.rope;
  keys.String("rope.scaling.type", "yarn");
  keys.Number("rope.scaling.factor", rope.factor);
  keys.Size("rope.scaling.original_context_length", rope.original_max_positions);
  keys.Number("rope.scaling.yarn_beta_fast", rope.beta_fast);
  keys.Number("rope.scaling.yarn_beta_slow", rope.beta_slow);
  // What llama.cpp derives from the multiplier, corrected to what is wanted.
  Rope derived = rope;
  derived.attention_factor = 0;
  derived.mscale = derived.mscale_all_dim = 0;
  if (a.latent && rope.mscale_all_dim > 0) {
    keys.Number("rope.scaling.yarn_log_multiplier", 0.1 * rope.mscale_all_dim);
    derived.mscale = derived.mscale_all_dim = rope.mscale_all_dim;
  }
  const double correction = rope.RotationScale() / derived.RotationScale();
  if (correction != 1.0) keys.Number("rope.scaling.attn_factor", correction);
}

void AddRope(const Architecture& a, NetworkKeys& keys) {
  keys.Size("rope.dimension_count", a.rotary_dim());
  keys.Number("rope.freq_base", a.rope.theta);
  if (a.rope.type == Rope::Type::kYarn) AddYarn(a, keys);
  if (a.rope.type != Rope::Type::kLinear) return;
  keys.String("rope.scaling.type", "linear");
  keys.Number("rope.scaling.factor", a.rope.factor);
}

}  // namespace

bool HasRopeFrequencies(const Architecture& a) {
  return a.rope.type == Rope::Type::kLlama3 || a.rope.type == Rope::Type::kDivisors;
}

base::Status AddNetwork(const Architecture& a, GgufMetadata& metadata) {
  const std::string name = GgufArchitecture(a);
  if (a.latent && HasRopeFrequencies(a)) {
    return base::Fail(Code::kUnimplemented,
                      "GGUF cannot hold latent attention with this rope: keep the model as a "
                      "folder");
  }
  metadata.AddString("general.architecture", name);
  NetworkKeys keys(name, metadata);
  keys.Size("vocab_size", a.vocab_size);
  keys.Size("context_length", a.max_positions);
  keys.Size("embedding_length", a.hidden_size);
  keys.Size("block_count", a.num_layers);
  keys.Size("feed_forward_length", a.intermediate_size);
  keys.Size("attention.head_count", a.num_heads);
  keys.Number("attention.layer_norm_rms_epsilon", a.rms_norm_eps);
  if (a.latent) {
    AddLatentAttention(*a.latent, a, keys);
    AddExperts(a, keys);
  } else {
    keys.Size("attention.head_count_kv", a.num_kv_heads);
    keys.Size("attention.key_length", a.head_dim);
    keys.Size("attention.value_length", a.head_dim);
  }
  AddRope(a, keys);
  // A rope that config.json has no words for is in rope_freqs.weight alone.
  if (a.rope.type == Rope::Type::kDivisors) return {};
  CLOISTER_ASSIGN_OR_RETURN(const nlohmann::ordered_json config, ConfigFromArchitecture(a));
  metadata.AddString(kConfigKey, config.dump());
  return {};
}

}  // namespace cloister::model
