#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"

namespace cloister::model {

// Rotary embedding. `default`: frequencies theta^(-2i/rotary_dim). `llama3`: the same, low
// frequencies divided by `factor` with a smooth ramp between (Llama 3.1). `divisors`: each
// frequency divided by its own number, as a GGUF file's rope_freqs.weight gives it when it is no
// llama3 ramp.
struct Rope {
  enum class Type { kDefault, kLlama3, kDivisors };
  Type type = Type::kDefault;
  double theta = 10000.0;
  double factor = 1.0;
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
  std::int64_t original_max_positions = 0;
  std::vector<double> divisors;  // kDivisors: rotary_dim/2 positive numbers

  // The rotary_dim/2 inverse frequencies, in fp64. Position p rotates pair i by p * result[i].
  std::vector<double> InverseFrequencies(std::int64_t rotary_dim) const;
  // What the default frequencies are divided by (rotary_dim/2 numbers, all 1 for `default`).
  std::vector<double> Divisors(std::int64_t rotary_dim) const;

  friend bool operator==(const Rope&, const Rope&) = default;
};

// The rope whose frequencies are theta^(-2i/n) / divisors[i] (n = 2 * divisors.size()): `default`
// when all are 1, `llama3` when Llama 3.1's ramp (factors 1 and 4, any power-of-two context)
// reproduces them to fp32, `divisors` otherwise.
Rope RopeFromDivisors(double theta, std::vector<double> divisors);

// A decoder-only transformer, described without naming a model family: pre-norm RMSNorm,
// grouped-query attention with rotary embeddings in the half layout (Hugging Face's), SwiGLU.
// The trainer builds LibTorch modules from it; the engine builds its own graph from it.
struct Architecture {
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t num_layers = 0;
  std::int64_t num_heads = 0;
  std::int64_t num_kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t max_positions = 0;
  double rms_norm_eps = 1e-5;
  Rope rope;
  bool tie_word_embeddings = false;
  std::int64_t bos_token_id = -1;           // -1: none
  std::vector<std::int64_t> eos_token_ids;  // in the order the model gives them

  std::int64_t query_size() const { return num_heads * head_dim; }
  std::int64_t kv_size() const { return num_kv_heads * head_dim; }

  friend bool operator==(const Architecture&, const Architecture&) = default;
};

// Reads a Hugging Face config.json, old and new spellings of rope. An unsupported model_type,
// activation, bias or rope type, a missing or contradictory field is an error that names the field
// (kDataLoss; kUnimplemented for a family that is not built yet).
base::Result<Architecture> ArchitectureFromConfig(const nlohmann::json& config);

// The config.json that reads back as `architecture` (model_type llama). kUnimplemented for rope
// divisors, which config.json has no words for.
base::Result<nlohmann::ordered_json> ConfigFromArchitecture(const Architecture& architecture);

// eos_token_id of config.json or generation_config.json: a number, a list of numbers or null.
base::Result<std::vector<std::int64_t>> EosTokenIds(const nlohmann::json& config);

// Every size positive and bounded, heads divisible by kv heads, rotary pairs whole.
base::Status Validate(const Architecture& architecture);

}  // namespace cloister::model
