#include "model/architecture.h"

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

base::Status CheckRope(const Architecture& architecture) {
  const Rope& rope = architecture.rope;
  if (!std::isfinite(rope.theta) || rope.theta <= 1.0) {
    return base::Fail(Code::kDataLoss, "rope_theta must be a finite number above 1");
  }
  if (rope.type == Rope::Type::kLlama3) {
    const bool finite = std::isfinite(rope.factor) && std::isfinite(rope.low_freq_factor) &&
                        std::isfinite(rope.high_freq_factor);
    if (!finite || rope.factor < 1.0 || rope.low_freq_factor <= 0.0 ||
        rope.high_freq_factor <= rope.low_freq_factor) {
      return base::Fail(Code::kDataLoss,
                        "rope llama3 needs factor at least 1 and 0 < low_freq_factor < "
                        "high_freq_factor");
    }
    return CheckSize("rope original_max_position_embeddings", rope.original_max_positions,
                     std::int64_t{1} << 40);
  }
  if (rope.type == Rope::Type::kDivisors) {
    if (static_cast<std::int64_t>(rope.divisors.size()) != architecture.head_dim / 2) {
      return base::Fail(Code::kDataLoss, "rope_freqs.weight must hold head_dim/2 numbers");
    }
    for (const double divisor : rope.divisors) {
      if (!std::isfinite(divisor) || divisor <= 0.0) {
        return base::Fail(Code::kDataLoss, "rope_freqs.weight must hold positive finite numbers");
      }
    }
  }
  return {};
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
  CLOISTER_RETURN_IF_ERROR(CheckSize("num_attention_heads", a.num_heads, 1 << 14));
  CLOISTER_RETURN_IF_ERROR(CheckSize("num_key_value_heads", a.num_kv_heads, a.num_heads));
  CLOISTER_RETURN_IF_ERROR(CheckSize("head_dim", a.head_dim, 1 << 14));
  CLOISTER_RETURN_IF_ERROR(
      CheckSize("max_position_embeddings", a.max_positions, std::int64_t{1} << 32));
  if (a.num_heads % a.num_kv_heads != 0) {
    return base::Fail(Code::kDataLoss, "num_attention_heads is no multiple of num_key_value_heads");
  }
  if (a.head_dim % 2 != 0) {
    return base::Fail(Code::kDataLoss, "head_dim is odd, so its rotary pairs are not whole");
  }
  if (!std::isfinite(a.rms_norm_eps) || a.rms_norm_eps <= 0.0 || a.rms_norm_eps > 1.0) {
    return base::Fail(Code::kDataLoss, "rms_norm_eps must lie above 0 and at most 1");
  }
  CLOISTER_RETURN_IF_ERROR(CheckRope(a));
  return CheckTokens(a);
}

}  // namespace

base::Status Validate(const Architecture& architecture) {
  base::Status status = Check(architecture);
  if (status) return status;
  return base::Fail(status.error().code,
                    status.error().message + ": correct it or fetch the model again");
}

}  // namespace cloister::model
