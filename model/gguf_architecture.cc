#include "model/gguf_architecture.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>

namespace cloister::model {
namespace {

using base::Code;

// The shortest decimal that reads back as the same fp32 number: 1e-05, not 9.999999747378752e-06.
double Shortest(double stored_as_float) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, static_cast<float>(stored_as_float)).ptr;
  double value = stored_as_float;
  std::from_chars(text, end, value);
  return value;
}

const GgufFile::Entry* FindTensor(const GgufFile& file, std::string_view name) {
  for (const GgufFile::Entry& entry : file.entries()) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

base::Result<std::int64_t> Required(const GgufFile& file, const std::string& key) {
  CLOISTER_ASSIGN_OR_RETURN(const auto value, file.Integer(key));
  if (!value) {
    return base::Fail(Code::kDataLoss, file.path().string() + " has no key " + key +
                                           ": the file is incomplete, fetch or convert it again");
  }
  return *value;
}

base::Status RefuseUnlessLlama(const GgufFile& file) {
  CLOISTER_ASSIGN_OR_RETURN(const auto family, file.String("general.architecture"));
  if (!family) {
    return base::Fail(Code::kDataLoss,
                      file.path().string() + " has no key general.architecture: fetch it again");
  }
  if (*family != "llama") {
    return base::Fail(Code::kUnimplemented,
                      file.path().string() + ": model_type '" + *family +
                          "' is not supported yet: use a model of the llama family");
  }
  CLOISTER_ASSIGN_OR_RETURN(const auto experts, file.Integer("llama.expert_count"));
  if (experts.value_or(0) > 0) {
    return base::Fail(Code::kUnimplemented, file.path().string() +
                                                ": llama.expert_count (mixture of experts) is not "
                                                "supported yet: use a dense model");
  }
  return {};
}

base::Result<std::int64_t> VocabularySize(const GgufFile& file) {
  const GgufFile::Entry* embedding = FindTensor(file, "token_embd.weight");
  if (embedding != nullptr) return embedding->view.shape[0];
  CLOISTER_ASSIGN_OR_RETURN(const GgufStrings* tokens, file.Strings("tokenizer.ggml.tokens"));
  if (tokens != nullptr) return static_cast<std::int64_t>(tokens->size());
  return Required(file, "llama.vocab_size");
}

base::Status ReadSizes(const GgufFile& file, Architecture& a) {
  CLOISTER_ASSIGN_OR_RETURN(a.vocab_size, VocabularySize(file));
  CLOISTER_ASSIGN_OR_RETURN(a.hidden_size, Required(file, "llama.embedding_length"));
  CLOISTER_ASSIGN_OR_RETURN(a.intermediate_size, Required(file, "llama.feed_forward_length"));
  CLOISTER_ASSIGN_OR_RETURN(a.num_layers, Required(file, "llama.block_count"));
  CLOISTER_ASSIGN_OR_RETURN(a.num_heads, Required(file, "llama.attention.head_count"));
  CLOISTER_ASSIGN_OR_RETURN(const auto kv_heads, file.Integer("llama.attention.head_count_kv"));
  a.num_kv_heads = kv_heads.value_or(a.num_heads);
  CLOISTER_ASSIGN_OR_RETURN(a.max_positions, Required(file, "llama.context_length"));
  CLOISTER_ASSIGN_OR_RETURN(const auto head_dim, file.Integer("llama.attention.key_length"));
  if (!head_dim && (a.num_heads < 1 || a.hidden_size % a.num_heads != 0)) {
    return base::Fail(Code::kDataLoss,
                      "llama.embedding_length is no multiple of llama.attention.head_count");
  }
  a.head_dim = head_dim ? *head_dim : a.hidden_size / a.num_heads;
  for (const char* key : {"llama.attention.value_length", "llama.rope.dimension_count"}) {
    CLOISTER_ASSIGN_OR_RETURN(const auto size, file.Integer(key));
    if (size.value_or(a.head_dim) != a.head_dim) {
      return base::Fail(Code::kUnimplemented,
                        std::string(key) + " other than the head's size is not supported yet");
    }
  }
  return {};
}

// The ramp that our own writer named, when it reproduces the tensor.
base::Result<std::optional<Rope>> NamedRamp(const GgufFile& file, double theta,
                                            const std::vector<double>& divisors) {
  CLOISTER_ASSIGN_OR_RETURN(const auto factor, file.Number(kRopeFactorKey));
  CLOISTER_ASSIGN_OR_RETURN(const auto low, file.Number(kRopeLowKey));
  CLOISTER_ASSIGN_OR_RETURN(const auto high, file.Number(kRopeHighKey));
  CLOISTER_ASSIGN_OR_RETURN(const auto context, file.Integer(kRopeContextKey));
  if (!factor || !low || !high || !context) return std::optional<Rope>();
  Rope ramp;
  ramp.type = Rope::Type::kLlama3;
  ramp.theta = theta;
  ramp.factor = *factor;
  ramp.low_freq_factor = *low;
  ramp.high_freq_factor = *high;
  ramp.original_max_positions = *context;
  const std::vector<double> expected =
      ramp.Divisors(static_cast<std::int64_t>(2 * divisors.size()));
  for (std::size_t i = 0; i < divisors.size(); ++i) {
    if (!(std::fabs(expected[i] - divisors[i]) <= 1e-5 * divisors[i])) return std::optional<Rope>();
  }
  return std::optional(ramp);
}

base::Result<Rope> ReadRope(const GgufFile& file, std::int64_t head_dim) {
  for (const char* key : {"llama.rope.scaling.type", "llama.rope.scale_linear"}) {
    if (!file.metadata().contains(key)) continue;
    const auto type = file.String(key);
    if (type && *type == "none") continue;
    return base::Fail(Code::kUnimplemented,
                      std::string(key) + " is not supported yet: default and llama3 rope are");
  }
  CLOISTER_ASSIGN_OR_RETURN(const auto base_frequency, file.Number("llama.rope.freq_base"));
  Rope rope;
  rope.theta = Shortest(base_frequency.value_or(rope.theta));
  const GgufFile::Entry* frequencies = FindTensor(file, kRopeFrequencies);
  if (frequencies == nullptr) return rope;
  if (!frequencies->unsupported.empty() || frequencies->view.type != DataType::kF32 ||
      frequencies->view.elements() != head_dim / 2 || head_dim % 2 != 0) {
    return base::Fail(Code::kDataLoss, "tensor rope_freqs.weight must hold head_dim/2 F32 numbers");
  }
  const std::vector<float> values = ToFloat(frequencies->view);
  std::vector<double> divisors(values.begin(), values.end());
  if (!std::all_of(divisors.begin(), divisors.end(),
                   [](double d) { return std::isfinite(d) && d > 0; })) {
    return base::Fail(Code::kDataLoss, "tensor rope_freqs.weight must hold positive numbers");
  }
  CLOISTER_ASSIGN_OR_RETURN(const auto ramp, NamedRamp(file, rope.theta, divisors));
  return ramp ? *ramp : RopeFromDivisors(rope.theta, std::move(divisors));
}

base::Status ReadTokens(const GgufFile& file, Architecture& a) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bos, file.Integer("tokenizer.ggml.bos_token_id"));
  a.bos_token_id = bos.value_or(-1);
  CLOISTER_ASSIGN_OR_RETURN(const GgufIntegers* several, file.Integers(kEosIdsKey));
  if (several != nullptr) {
    a.eos_token_ids = *several;
    return {};
  }
  CLOISTER_ASSIGN_OR_RETURN(const auto eos, file.Integer("tokenizer.ggml.eos_token_id"));
  if (eos) a.eos_token_ids = {*eos};
  return {};
}

base::Result<Architecture> Read(const GgufFile& file) {
  Architecture a;
  CLOISTER_RETURN_IF_ERROR(ReadSizes(file, a));
  CLOISTER_ASSIGN_OR_RETURN(const auto epsilon,
                            file.Number("llama.attention.layer_norm_rms_epsilon"));
  if (!epsilon) {
    return base::Fail(Code::kDataLoss, "key llama.attention.layer_norm_rms_epsilon is missing");
  }
  a.rms_norm_eps = Shortest(*epsilon);
  CLOISTER_ASSIGN_OR_RETURN(a.rope, ReadRope(file, a.head_dim));
  a.tie_word_embeddings = FindTensor(file, "output.weight") == nullptr;
  CLOISTER_RETURN_IF_ERROR(ReadTokens(file, a));
  CLOISTER_RETURN_IF_ERROR(Validate(a));
  return a;
}

}  // namespace

base::Result<Architecture> ArchitectureFromGguf(const GgufFile& file) {
  CLOISTER_RETURN_IF_ERROR(RefuseUnlessLlama(file));
  base::Result<Architecture> architecture = Read(file);
  if (!architecture && architecture.error().message.find(file.path().string()) == 0) {
    return architecture;
  }
  if (!architecture) return base::Annotate(std::move(architecture), file.path().string());
  return architecture;
}

}  // namespace cloister::model
