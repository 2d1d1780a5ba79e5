#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "base/result.h"
#include "model/rope.h"

namespace cloister::model {

// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434 §2.1). A token's keys and values come
// from one latent of kv_rank numbers; a head's query and key are nope_dim numbers without position
// followed by rope_dim rotated ones, whose key part all heads share.
struct LatentAttention {
  std::int64_t query_rank = 0;  // 0: queries come straight from the hidden state
  std::int64_t kv_rank = 0;
  std::int64_t nope_dim = 0;
  std::int64_t rope_dim = 0;
  std::int64_t value_dim = 0;
  double norm_eps = 1e-6;  // of the norms of both latents

  friend bool operator==(const LatentAttention&, const LatentAttention&) = default;
};

// Mixture of experts (DeepSeekMoE). A token's scores are gate(W x); it chooses `per_token` experts
// among those of the `groups_per_token` best of `groups` equal groups, and adds their outputs
// weighted by their scores. Equal scores go to the lower index.
struct Experts {
  enum class Gate { kSoftmax, kSigmoid };
  // A group's worth: its best score, or the sum of its two best.
  enum class GroupScore { kBest, kTwoBest };

  std::int64_t count = 0;
  std::int64_t per_token = 0;
  std::int64_t intermediate_size = 0;  // of one expert
  std::int64_t shared = 0;             // experts that every token goes through, as one wide MLP
  std::int64_t groups = 1;
  std::int64_t groups_per_token = 1;
  Gate gate = Gate::kSoftmax;
  GroupScore group_score = GroupScore::kBest;
  bool correction_bias = false;  // added to the scores for choosing only
  bool normalize = false;        // the chosen weights are divided by their sum + 1e-20
  double scale = 1.0;            // then multiplied by this

  friend bool operator==(const Experts&, const Experts&) = default;
};

// A decoder-only transformer, described without naming a model family: pre-norm RMSNorm,
// grouped-query or latent attention with rotary embeddings, SwiGLU or a mixture of such experts.
// The trainer builds LibTorch modules from it; the engine builds its own graph from it.
struct Architecture {
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;  // of the dense MLPs
  std::int64_t num_layers = 0;
  std::int64_t num_heads = 0;
  std::int64_t num_kv_heads = 0;  // num_heads in latent attention
  std::int64_t head_dim = 0;      // of queries and keys; nope_dim + rope_dim in latent attention
  std::int64_t max_positions = 0;
  double rms_norm_eps = 1e-5;
  Rope rope;
  bool qkv_bias = false;               // in latent attention: of the projections into latents
  bool attention_output_bias = false;  // of o_proj
  bool mlp_bias = false;               // of gate, up and down of dense MLPs
  bool qk_norm = false;                // RMSNorm of each head of q and k before the rotation
  // Layers whose tokens see only themselves and the sliding_window - 1 before them. Empty: none;
  // otherwise a flag a layer.
  std::int64_t sliding_window = 0;
  std::vector<bool> sliding_layers;
  std::optional<LatentAttention> latent;
  // Layers whose MLP is a mixture of experts. Empty: none; otherwise a flag a layer.
  std::optional<Experts> experts;
  std::vector<bool> expert_layers;
  bool tie_word_embeddings = false;
  std::int64_t bos_token_id = -1;           // -1: none
  std::vector<std::int64_t> eos_token_ids;  // in the order the model gives them

  std::int64_t query_size() const { return num_heads * head_dim; }  // rows of q_proj, q_b_proj
  std::int64_t kv_size() const { return num_kv_heads * head_dim; }  // rows of k_proj and v_proj
  // Columns of o_proj.
  std::int64_t attended_size() const { return num_heads * (latent ? latent->value_dim : head_dim); }
  // Numbers of a head that are rotated: the last ones.
  std::int64_t rotary_dim() const { return latent ? latent->rope_dim : head_dim; }
  // What q·k is multiplied by.
  double score_scale() const;
  // How many positions a token of the layer sees, itself included; 0: all.
  std::int64_t window_of(std::int64_t layer) const;
  bool has_experts(std::int64_t layer) const;
  // The most positions that the rope is meant for.
  std::int64_t max_context() const;

  friend bool operator==(const Architecture&, const Architecture&) = default;
};

// Reads a Hugging Face config.json (the one place that knows model families), old and new
// spellings. A field that changes nothing is passed over; one that is unknown, missing, out of
// range or at odds with another is an error that names it (kDataLoss; kUnimplemented for families
// and features that are not built).
base::Result<Architecture> ArchitectureFromConfig(const nlohmann::json& config);

// The config.json that reads back as `architecture`, with the model_type whose readers know all of
// it. kUnimplemented, saying what, for a network that no config.json can describe.
base::Result<nlohmann::ordered_json> ConfigFromArchitecture(const Architecture& architecture);

// eos_token_id of config.json or generation_config.json: a number, a list of numbers or null.
base::Result<std::vector<std::int64_t>> EosTokenIds(const nlohmann::json& config);

// Every size positive and bounded, heads divisible by kv heads, rotary pairs whole, experts and
// windows consistent.
base::Status Validate(const Architecture& architecture);

}  // namespace cloister::model
