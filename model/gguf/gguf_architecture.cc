#include "model/gguf/gguf_architecture.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"

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

// Keys of one architecture: "llama." and what follows.
class NetworkKeys {
 public:
  NetworkKeys(const GgufFile& file, std::string architecture)
      : file_(file), prefix_(std::move(architecture) + ".") {}

  const GgufFile& file() const { return file_; }
  std::string Key(const char* name) const { return prefix_ + name; }
  auto Integer(const char* name) const { return file_.Integer(Key(name)); }
  auto Number(const char* name) const { return file_.Number(Key(name)); }
  auto Bool(const char* name) const { return file_.Bool(Key(name)); }
  auto String(const char* name) const { return file_.String(Key(name)); }

  base::Result<std::int64_t> Required(const char* name) const {
    CLOISTER_ASSIGN_OR_RETURN(const auto value, Integer(name));
    if (value) return *value;
    return base::Fail(
        Code::kDataLoss,
        "key " + Key(name) + " is missing: the file is incomplete, fetch or convert it again");
  }

 private:
  const GgufFile& file_;
  std::string prefix_;
};

bool HasTensor(const GgufFile& file, std::string_view name) {
  return FindTensor(file, name) != nullptr;
}

base::Result<std::string> ArchitectureName(const GgufFile& file) {
  CLOISTER_ASSIGN_OR_RETURN(const auto name, file.String("general.architecture"));
  if (!name) {
    return base::Fail(Code::kDataLoss, "key general.architecture is missing: fetch the file again");
  }
  static constexpr std::array<std::string_view, 4> kKnown = {"llama", "qwen2", "qwen3",
                                                             "deepseek2"};
  if (std::find(kKnown.begin(), kKnown.end(), *name) != kKnown.end()) return *name;
  return base::Fail(Code::kUnimplemented, "general.architecture '" + *name +
                                              "' is not supported: llama, qwen2, qwen3 and "
                                              "deepseek2 are");
}

base::Result<std::int64_t> VocabularySize(const NetworkKeys& keys) {
  const GgufFile::Entry* embedding = FindTensor(keys.file(), "token_embd.weight");
  if (embedding != nullptr) return embedding->view.shape[0];
  CLOISTER_ASSIGN_OR_RETURN(const GgufStrings* tokens,
                            keys.file().Strings("tokenizer.ggml.tokens"));
  if (tokens != nullptr) return static_cast<std::int64_t>(tokens->size());
  return keys.Required("vocab_size");
}

base::Status ReadSizes(const NetworkKeys& keys, Architecture& a) {
  CLOISTER_ASSIGN_OR_RETURN(a.vocab_size, VocabularySize(keys));
  CLOISTER_ASSIGN_OR_RETURN(a.hidden_size, keys.Required("embedding_length"));
  CLOISTER_ASSIGN_OR_RETURN(a.intermediate_size, keys.Required("feed_forward_length"));
  CLOISTER_ASSIGN_OR_RETURN(a.num_layers, keys.Required("block_count"));
  CLOISTER_ASSIGN_OR_RETURN(const auto proposing, keys.Integer("nextn_predict_layers"));
  if (proposing.value_or(0) < 0 ||
      proposing.value_or(0) >= std::max<std::int64_t>(a.num_layers, 1)) {
    return base::Fail(Code::kDataLoss, "key " + keys.Key("nextn_predict_layers") +
                                           " leaves no layers: fetch the file again");
  }
  a.num_layers -= proposing.value_or(0);
  CLOISTER_ASSIGN_OR_RETURN(a.num_heads, keys.Required("attention.head_count"));
  CLOISTER_ASSIGN_OR_RETURN(a.max_positions, keys.Required("context_length"));
  CLOISTER_ASSIGN_OR_RETURN(const auto epsilon, keys.Number("attention.layer_norm_rms_epsilon"));
  if (!epsilon) {
    return base::Fail(Code::kDataLoss, "key " + keys.Key("attention.layer_norm_rms_epsilon") +
                                           " is missing: fetch or convert the file again");
  }
  a.rms_norm_eps = Shortest(*epsilon);
  return {};
}

base::Status ReadGroupedAttention(const NetworkKeys& keys, Architecture& a) {
  CLOISTER_ASSIGN_OR_RETURN(const auto experts, keys.Integer("expert_count"));
  if (experts.value_or(0) > 0) {
    return base::Fail(Code::kUnimplemented, "key " + keys.Key("expert_count") +
                                                ": experts without latent attention are not "
                                                "supported, use a dense model");
  }
  CLOISTER_ASSIGN_OR_RETURN(const auto kv_heads, keys.Integer("attention.head_count_kv"));
  a.num_kv_heads = kv_heads.value_or(a.num_heads);
  CLOISTER_ASSIGN_OR_RETURN(const auto head_dim, keys.Integer("attention.key_length"));
  if (!head_dim && (a.num_heads < 1 || a.hidden_size % a.num_heads != 0)) {
    return base::Fail(Code::kDataLoss, keys.Key("embedding_length") + " is no multiple of " +
                                           keys.Key("attention.head_count"));
  }
  a.head_dim = head_dim ? *head_dim : a.hidden_size / a.num_heads;
  for (const char* name : {"attention.value_length", "rope.dimension_count"}) {
    CLOISTER_ASSIGN_OR_RETURN(const auto size, keys.Integer(name));
    if (size.value_or(a.head_dim) != a.head_dim) {
      return base::Fail(Code::kUnimplemented,
                        keys.Key(name) + " other than the head's size is not supported");
    }
  }
  const GgufFile& file = keys.file();
  a.qkv_bias = HasTensor(file, "blk.0.attn_q.bias");
  a.attention_output_bias = HasTensor(file, "blk.0.attn_output.bias");
  a.mlp_bias = HasTensor(file, "blk.0.ffn_gate.bias");
  a.qk_norm = HasTensor(file, "blk.0.attn_q_norm.weight");
  return {};
}

base::Status ReadLatentAttention(const NetworkKeys& keys, Architecture& a) {
  LatentAttention latent;
  CLOISTER_ASSIGN_OR_RETURN(const auto query_rank, keys.Integer("attention.q_lora_rank"));
  latent.query_rank = query_rank.value_or(0);
  CLOISTER_ASSIGN_OR_RETURN(latent.kv_rank, keys.Required("attention.kv_lora_rank"));
  CLOISTER_ASSIGN_OR_RETURN(latent.rope_dim, keys.Required("rope.dimension_count"));
  // Files whose heads share a latent name the heads' own sizes _mla; older ones have these alone.
  CLOISTER_ASSIGN_OR_RETURN(const auto key, keys.Integer("attention.key_length_mla"));
  CLOISTER_ASSIGN_OR_RETURN(const auto value, keys.Integer("attention.value_length_mla"));
  if (key && value) {
    a.head_dim = *key;
    latent.value_dim = *value;
  } else {
    CLOISTER_ASSIGN_OR_RETURN(a.head_dim, keys.Required("attention.key_length"));
    CLOISTER_ASSIGN_OR_RETURN(latent.value_dim, keys.Required("attention.value_length"));
  }
  latent.nope_dim = a.head_dim - latent.rope_dim;
  a.num_kv_heads = a.num_heads;
  a.rope.layout = Rope::Layout::kInterleaved;
  const GgufFile& file = keys.file();
  a.qkv_bias = HasTensor(file, "blk.0.attn_kv_a_mqa.bias");
  a.attention_output_bias = HasTensor(file, "blk.0.attn_output.bias");
  a.latent = latent;
  return {};
}

base::Status ReadExperts(const NetworkKeys& keys, Architecture& a) {
  CLOISTER_ASSIGN_OR_RETURN(const auto count, keys.Integer("expert_count"));
  CLOISTER_ASSIGN_OR_RETURN(const auto dense, keys.Integer("leading_dense_block_count"));
  if (count.value_or(0) < 1 || dense.value_or(0) >= a.num_layers) return {};
  Experts experts;
  experts.count = *count;
  CLOISTER_ASSIGN_OR_RETURN(experts.per_token, keys.Required("expert_used_count"));
  CLOISTER_ASSIGN_OR_RETURN(experts.intermediate_size, keys.Required("expert_feed_forward_length"));
  CLOISTER_ASSIGN_OR_RETURN(const auto shared, keys.Integer("expert_shared_count"));
  CLOISTER_ASSIGN_OR_RETURN(const auto groups, keys.Integer("expert_group_count"));
  CLOISTER_ASSIGN_OR_RETURN(const auto used_groups, keys.Integer("expert_group_used_count"));
  CLOISTER_ASSIGN_OR_RETURN(const auto scale, keys.Number("expert_weights_scale"));
  CLOISTER_ASSIGN_OR_RETURN(const auto normalize, keys.Bool("expert_weights_norm"));
  CLOISTER_ASSIGN_OR_RETURN(const auto gate, keys.Integer("expert_gating_func"));
  if (gate.value_or(kSoftmaxGate) != kSoftmaxGate && *gate != kSigmoidGate) {
    return base::Fail(Code::kUnimplemented,
                      keys.Key("expert_gating_func") + " " + std::to_string(*gate) +
                          " is not supported: 1 (softmax) and 2 (sigmoid) are");
  }
  const bool sigmoid = gate.value_or(kSoftmaxGate) == kSigmoidGate;
  experts.gate = sigmoid ? Experts::Gate::kSigmoid : Experts::Gate::kSoftmax;
  experts.group_score = sigmoid ? Experts::GroupScore::kTwoBest : Experts::GroupScore::kBest;
  experts.shared = shared.value_or(0);
  experts.groups = groups.value_or(1);
  experts.groups_per_token = used_groups.value_or(experts.groups);
  experts.scale = Shortest(scale.value_or(1.0));
  experts.normalize = normalize.value_or(false);
  if (a.num_layers < 1 || a.num_layers > (1 << 12) || dense.value_or(0) < 0) {
    return base::Fail(Code::kDataLoss, keys.Key("leading_dense_block_count") + " and " +
                                           keys.Key("block_count") + " do not fit each other");
  }
  const std::string first = "blk." + std::to_string(dense.value_or(0)) + ".";
  experts.correction_bias = HasTensor(keys.file(), first + "exp_probs_b.bias");
  a.expert_layers.assign(static_cast<std::size_t>(a.num_layers), true);
  std::fill_n(a.expert_layers.begin(), dense.value_or(0), false);
  a.experts = experts;
  return {};
}

base::Status ReadScaling(const NetworkKeys& keys, Architecture& a) {
  CLOISTER_ASSIGN_OR_RETURN(const auto type, keys.String("rope.scaling.type"));
  CLOISTER_ASSIGN_OR_RETURN(const auto new_factor, keys.Number("rope.scaling.factor"));
  CLOISTER_ASSIGN_OR_RETURN(const auto old_factor, keys.Number("rope.scale_linear"));
  const double factor = Shortest(new_factor.value_or(old_factor.value_or(1.0)));
  const std::string name = type.value_or("linear");
  if (name == "none" || (name == "linear" && factor == 1.0)) return {};
  Rope& rope = a.rope;
  rope.factor = factor;
  if (name == "linear") {
    rope.type = Rope::Type::kLinear;
    return {};
  }
  if (name != "yarn") {
    return base::Fail(Code::kUnimplemented, keys.Key("rope.scaling.type") + " '" + name +
                                                "' is not supported: none, linear and yarn are");
  }
  rope.type = Rope::Type::kYarn;
  CLOISTER_ASSIGN_OR_RETURN(const auto context,
                            keys.Integer("rope.scaling.original_context_length"));
  CLOISTER_ASSIGN_OR_RETURN(const auto fast, keys.Number("rope.scaling.yarn_beta_fast"));
  CLOISTER_ASSIGN_OR_RETURN(const auto slow, keys.Number("rope.scaling.yarn_beta_slow"));
  CLOISTER_ASSIGN_OR_RETURN(const auto multiplier, keys.Number("rope.scaling.yarn_log_multiplier"));
  CLOISTER_ASSIGN_OR_RETURN(const auto attention, keys.Number("rope.scaling.attn_factor"));
  rope.original_max_positions = context.value_or(a.max_positions);
  rope.beta_fast = Shortest(fast.value_or(rope.beta_fast));
  rope.beta_slow = Shortest(slow.value_or(rope.beta_slow));
  if (multiplier) {  // a tenth of mscale_all_dim, to which llama.cpp takes mscale to be equal
    rope.mscale_all_dim = Shortest(*multiplier * 10);
    rope.mscale = rope.mscale_all_dim;
  }
  if (attention && *attention != 1.0) {
    rope.attention_factor = rope.RotationScale() * Shortest(*attention);
  }
  return {};
}

base::Status ReadRope(const NetworkKeys& keys, Architecture& a) {
  CLOISTER_RETURN_IF_ERROR(ReadScaling(keys, a));
  CLOISTER_ASSIGN_OR_RETURN(const auto base_frequency, keys.Number("rope.freq_base"));
  a.rope.theta = Shortest(base_frequency.value_or(a.rope.theta));
  const GgufFile::Entry* frequencies = FindTensor(keys.file(), kRopeFrequencies);
  if (frequencies == nullptr) return {};
  if (a.rope.type != Rope::Type::kDefault || a.latent) {
    return base::Fail(Code::kUnimplemented,
                      "tensor rope_freqs.weight beside another rope scaling is not supported");
  }
  if (!frequencies->unsupported.empty() || frequencies->view.type != DataType::kF32 ||
      frequencies->view.elements() != a.head_dim / 2 || a.head_dim % 2 != 0) {
    return base::Fail(Code::kDataLoss, "tensor rope_freqs.weight must hold head_dim/2 F32 numbers");
  }
  const std::vector<float> values = ToFloat(frequencies->view);
  std::vector<double> divisors(values.begin(), values.end());
  if (!std::all_of(divisors.begin(), divisors.end(),
                   [](double d) { return std::isfinite(d) && d > 0; })) {
    return base::Fail(Code::kDataLoss, "tensor rope_freqs.weight must hold positive numbers");
  }
  a.rope = RopeFromDivisors(a.rope.theta, std::move(divisors));
  return {};
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

// The parts of `a` that GGUF's own keys can say, the rest as in `all`.
Architecture WithUnsaid(Architecture a, const Architecture& all) {
  a.rms_norm_eps = all.rms_norm_eps;
  a.rope = all.rope;
  a.sliding_window = all.sliding_window;
  a.sliding_layers = all.sliding_layers;
  a.max_positions = all.max_positions;
  a.bos_token_id = all.bos_token_id;
  a.eos_token_ids = all.eos_token_ids;
  if (a.latent && all.latent) a.latent->norm_eps = all.latent->norm_eps;
  if (a.experts && all.experts) a.experts->scale = all.experts->scale;
  return a;
}

// The config.json that our own writer left, which knows what GGUF's keys cannot say. What both
// say must agree: other programs read the keys.
base::Result<Architecture> Completed(const GgufFile& file, const Architecture& said) {
  CLOISTER_ASSIGN_OR_RETURN(const auto text, file.String(kConfigKey));
  if (!text) return said;
  const nlohmann::json config = base::ParseJson(*text);
  base::Result<Architecture> all = ArchitectureFromConfig(config);
  if (!all) return base::Annotate(std::move(all), std::string("key ") + kConfigKey);
  const Architecture keys = WithUnsaid(said, *all);
  const bool same_theta =
      static_cast<float>(said.rope.theta) == static_cast<float>(all->rope.theta);
  if (!(keys == *all) || !same_theta) {
    return base::Fail(Code::kDataLoss, std::string("key ") + kConfigKey +
                                           " contradicts the file's other keys and tensors: "
                                           "convert the model again");
  }
  all->bos_token_id = said.bos_token_id;
  all->eos_token_ids = said.eos_token_ids;
  return all;
}

base::Result<Architecture> Read(const GgufFile& file) {
  CLOISTER_ASSIGN_OR_RETURN(const std::string name, ArchitectureName(file));
  const NetworkKeys keys(file, name);
  Architecture a;
  CLOISTER_RETURN_IF_ERROR(ReadSizes(keys, a));
  if (name == "deepseek2") {
    CLOISTER_RETURN_IF_ERROR(ReadLatentAttention(keys, a));
    CLOISTER_RETURN_IF_ERROR(ReadExperts(keys, a));
  } else {
    CLOISTER_RETURN_IF_ERROR(ReadGroupedAttention(keys, a));
  }
  CLOISTER_RETURN_IF_ERROR(ReadRope(keys, a));
  a.tie_word_embeddings = !HasTensor(file, "output.weight");
  CLOISTER_RETURN_IF_ERROR(ReadTokens(file, a));
  CLOISTER_RETURN_IF_ERROR(Validate(a));
  return Completed(file, a);
}

}  // namespace

std::int64_t ProposingLayers(const GgufFile& file) {
  const auto name = file.String("general.architecture");
  if (!name || !*name) return 0;
  const auto count = file.Integer(**name + ".nextn_predict_layers");
  return count && *count ? std::max<std::int64_t>(**count, 0) : 0;
}

base::Result<Architecture> ArchitectureFromGguf(const GgufFile& file) {
  base::Result<Architecture> architecture = Read(file);
  if (!architecture && architecture.error().message.starts_with(file.path().string())) {
    return architecture;
  }
  if (!architecture) return base::Annotate(std::move(architecture), file.path().string());
  return architecture;
}

}  // namespace cloister::model
