#include "model/architecture.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace cloister::model {
namespace {

using base::Code;

base::Status CheckSize(const char* name, std::int64_t value, std::int64_t limit) {
  if (value >= 1 && value <= limit) return {};
  return base::Fail(Code::kDataLoss, std::string(name) + " is " + std::to_string(value) +
                                         ", but must lie in 1 … " + std::to_string(limit));
}

base::Status CheckRopeFactor(const Rope& rope) {
  if (std::isfinite(rope.factor) && rope.factor >= 1.0 && rope.factor <= 1e6) return {};
  return base::Fail(Code::kDataLoss, "rope factor must lie in 1 … 1000000");
}

base::Status CheckRamp(const Rope& rope) {
  if (rope.type == Rope::Type::kLlama3) {
    const bool finite = std::isfinite(rope.low_freq_factor) && std::isfinite(rope.high_freq_factor);
    if (finite && rope.low_freq_factor > 0.0 && rope.high_freq_factor > rope.low_freq_factor) {
      return {};
    }
    return base::Fail(Code::kDataLoss, "rope llama3 needs 0 < low_freq_factor < high_freq_factor");
  }
  const bool finite = std::isfinite(rope.beta_fast) && std::isfinite(rope.beta_slow);
  if (!finite || rope.beta_slow <= 0.0 || rope.beta_fast < rope.beta_slow) {
    return base::Fail(Code::kDataLoss, "rope yarn needs 0 < beta_slow <= beta_fast");
  }
  for (const double scale : {rope.mscale, rope.mscale_all_dim, rope.attention_factor}) {
    if (!std::isfinite(scale) || scale < 0.0 || scale > 1e3) {
      return base::Fail(Code::kDataLoss,
                        "rope mscale, mscale_all_dim and attention_factor must lie in 0 … 1000");
    }
  }
  return {};
}

base::Status CheckDivisors(const Rope& rope, std::int64_t rotary_dim) {
  if (static_cast<std::int64_t>(rope.divisors.size()) != rotary_dim / 2) {
    return base::Fail(Code::kDataLoss, "rope_freqs.weight must hold head_dim/2 numbers");
  }
  for (const double divisor : rope.divisors) {
    if (!std::isfinite(divisor) || divisor <= 0.0) {
      return base::Fail(Code::kDataLoss, "rope_freqs.weight must hold positive finite numbers");
    }
  }
  return {};
}

base::Status CheckRope(const Architecture& architecture) {
  const Rope& rope = architecture.rope;
  if (!std::isfinite(rope.theta) || rope.theta <= 1.0) {
    return base::Fail(Code::kDataLoss, "rope_theta must be a finite number above 1");
  }
  switch (rope.type) {
    case Rope::Type::kDefault:
      return {};
    case Rope::Type::kDivisors:
      return CheckDivisors(rope, architecture.rotary_dim());
    case Rope::Type::kLinear:
      return CheckRopeFactor(rope);
    case Rope::Type::kDynamic:
      if (architecture.rotary_dim() < 4) {
        return base::Fail(Code::kDataLoss, "rope dynamic needs at least 4 rotary dimensions");
      }
      break;
    case Rope::Type::kLlama3:
    case Rope::Type::kYarn:
      CLOISTER_RETURN_IF_ERROR(CheckRamp(rope));
      break;
  }
  CLOISTER_RETURN_IF_ERROR(CheckRopeFactor(rope));
  return CheckSize("rope original_max_position_embeddings", rope.original_max_positions,
                   std::int64_t{1} << 32);
}

base::Status CheckAttention(const Architecture& a) {
  CLOISTER_RETURN_IF_ERROR(CheckSize("num_attention_heads", a.num_heads, 1 << 14));
  CLOISTER_RETURN_IF_ERROR(CheckSize("num_key_value_heads", a.num_kv_heads, a.num_heads));
  CLOISTER_RETURN_IF_ERROR(CheckSize("head_dim", a.head_dim, 1 << 14));
  if (a.num_heads % a.num_kv_heads != 0) {
    return base::Fail(Code::kDataLoss, "num_attention_heads is no multiple of num_key_value_heads");
  }
  if (a.latent) {
    const LatentAttention& latent = *a.latent;
    if (latent.query_rank != 0) {
      CLOISTER_RETURN_IF_ERROR(CheckSize("q_lora_rank", latent.query_rank, 1 << 20));
    }
    CLOISTER_RETURN_IF_ERROR(CheckSize("kv_lora_rank", latent.kv_rank, 1 << 20));
    CLOISTER_RETURN_IF_ERROR(CheckSize("qk_nope_head_dim", latent.nope_dim, 1 << 13));
    CLOISTER_RETURN_IF_ERROR(CheckSize("qk_rope_head_dim", latent.rope_dim, 1 << 13));
    CLOISTER_RETURN_IF_ERROR(CheckSize("v_head_dim", latent.value_dim, 1 << 14));
    if (a.head_dim != latent.nope_dim + latent.rope_dim || a.num_kv_heads != a.num_heads) {
      return base::Fail(Code::kDataLoss,
                        "latent attention needs num_key_value_heads equal to num_attention_heads "
                        "and qk_head_dim equal to qk_nope_head_dim + qk_rope_head_dim");
    }
    if (a.qk_norm || !a.sliding_layers.empty()) {
      return base::Fail(Code::kUnimplemented,
                        "latent attention with q/k norms or a sliding window is not supported");
    }
  }
  if (a.rotary_dim() % 2 != 0) {
    return base::Fail(Code::kDataLoss, "head_dim is odd, so its rotary pairs are not whole");
  }
  if (a.sliding_layers.empty()) return {};
  CLOISTER_RETURN_IF_ERROR(CheckSize("sliding_window", a.sliding_window, std::int64_t{1} << 40));
  if (static_cast<std::int64_t>(a.sliding_layers.size()) == a.num_layers) return {};
  return base::Fail(Code::kDataLoss, "layer_types must name num_hidden_layers layers");
}

base::Status CheckExperts(const Architecture& a) {
  if (a.experts.has_value() == a.expert_layers.empty()) {
    return base::Fail(Code::kDataLoss, "experts are given without layers that have them");
  }
  if (!a.experts) return {};
  const Experts& experts = *a.experts;
  CLOISTER_RETURN_IF_ERROR(CheckSize("n_routed_experts", experts.count, 1 << 16));
  // An expert has tensors of its own at each layer: their names are to fit in memory.
  CLOISTER_RETURN_IF_ERROR(CheckSize("n_routed_experts", experts.count, (1 << 20) / a.num_layers));
  CLOISTER_RETURN_IF_ERROR(CheckSize("moe_intermediate_size", experts.intermediate_size, 1 << 22));
  CLOISTER_RETURN_IF_ERROR(CheckSize("n_group", experts.groups, experts.count));
  CLOISTER_RETURN_IF_ERROR(CheckSize("topk_group", experts.groups_per_token, experts.groups));
  if (experts.count % experts.groups != 0) {
    return base::Fail(Code::kDataLoss, "n_routed_experts is no multiple of n_group");
  }
  const std::int64_t group = experts.count / experts.groups;
  CLOISTER_RETURN_IF_ERROR(
      CheckSize("num_experts_per_tok", experts.per_token, group * experts.groups_per_token));
  if (experts.group_score == Experts::GroupScore::kTwoBest && group < 2 && experts.groups > 1) {
    return base::Fail(Code::kDataLoss,
                      "n_group leaves groups of one expert, which have no two "
                      "best scores");
  }
  if (experts.shared < 0 || experts.shared > 1024) {
    return base::Fail(Code::kDataLoss, "n_shared_experts must lie in 0 … 1024");
  }
  if (!std::isfinite(experts.scale) || experts.scale <= 0.0 || experts.scale > 1e4) {
    return base::Fail(Code::kDataLoss, "routed_scaling_factor must lie above 0 and at most 10000");
  }
  if (static_cast<std::int64_t>(a.expert_layers.size()) == a.num_layers) return {};
  return base::Fail(Code::kDataLoss, "mlp_layer_types must name num_hidden_layers layers");
}

base::Status CheckTokens(const Architecture& architecture) {
  if (architecture.bos_token_id < -1 || architecture.bos_token_id >= architecture.vocab_size) {
    return base::Fail(Code::kDataLoss, "bos_token_id lies outside of the vocabulary");
  }
  for (const std::int64_t id : architecture.eos_token_ids) {
    if (id < 0 || id >= architecture.vocab_size) {
      return base::Fail(Code::kDataLoss, "eos_token_id lies outside of the vocabulary");
    }
  }
  return {};
}

base::Status Check(const Architecture& a) {
  // Bounds far above any model there is, low enough that no product of two sizes overflows.
  CLOISTER_RETURN_IF_ERROR(CheckSize("vocab_size", a.vocab_size, 1 << 24));
  CLOISTER_RETURN_IF_ERROR(CheckSize("hidden_size", a.hidden_size, 1 << 20));
  CLOISTER_RETURN_IF_ERROR(CheckSize("intermediate_size", a.intermediate_size, 1 << 22));
  CLOISTER_RETURN_IF_ERROR(CheckSize("num_hidden_layers", a.num_layers, 1 << 12));
  CLOISTER_RETURN_IF_ERROR(
      CheckSize("max_position_embeddings", a.max_positions, std::int64_t{1} << 32));
  if (!std::isfinite(a.rms_norm_eps) || a.rms_norm_eps <= 0.0 || a.rms_norm_eps > 1.0) {
    return base::Fail(Code::kDataLoss, "rms_norm_eps must lie above 0 and at most 1");
  }
  CLOISTER_RETURN_IF_ERROR(CheckAttention(a));
  CLOISTER_RETURN_IF_ERROR(CheckExperts(a));
  CLOISTER_RETURN_IF_ERROR(CheckRope(a));
  return CheckTokens(a);
}

}  // namespace

double Architecture::score_scale() const {
  const double scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  return latent ? scale * rope.LatentScoreScale() : scale;
}

std::int64_t Architecture::window_of(std::int64_t layer) const {
  const auto index = static_cast<std::size_t>(layer);
  return !sliding_layers.empty() && sliding_layers[index] ? sliding_window : 0;
}

bool Architecture::has_experts(std::int64_t layer) const {
  return !expert_layers.empty() && expert_layers[static_cast<std::size_t>(layer)];
}

std::int64_t Architecture::max_context() const {
  if (rope.type == Rope::Type::kDefault || rope.type == Rope::Type::kDivisors) return max_positions;
  const bool trained = rope.type != Rope::Type::kLinear;
  const double context = static_cast<double>(trained ? rope.original_max_positions : max_positions);
  return std::max(max_positions, static_cast<std::int64_t>(context * rope.factor));
}

base::Status Validate(const Architecture& architecture) {
  base::Status status = Check(architecture);
  if (status) return status;
  return base::Fail(status.error().code,
                    status.error().message + ": correct it or fetch the model again");
}

}  // namespace cloister::model
