#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "cli/model/commands.h"
#include "model/chat_template.h"
#include "model/check_weights.h"
#include "model/model_files.h"
#include "model/tokenizer.h"

namespace cloister::cli {
namespace po = boost::program_options;

namespace {

using base::Code;
using nlohmann::ordered_json;

const char* RopeName(model::Rope::Type type) {
  switch (type) {
    case model::Rope::Type::kDefault:
      return "default";
    case model::Rope::Type::kLinear:
      return "linear";
    case model::Rope::Type::kDynamic:
      return "dynamic";
    case model::Rope::Type::kYarn:
      return "yarn";
    case model::Rope::Type::kLlama3:
      return "llama3";
    case model::Rope::Type::kDivisors:
      return "divisors";
  }
  return "unknown";
}

void AddAttention(const model::Architecture& a, ordered_json& summary) {
  summary["attention"] = a.latent ? "latent" : "grouped-query";
  summary["heads"] = a.num_heads;
  summary["kv_heads"] = a.num_kv_heads;
  summary["head_dim"] = a.head_dim;
  if (a.latent) {
    summary["query_rank"] = nullptr;
    if (a.latent->query_rank > 0) summary["query_rank"] = a.latent->query_rank;
    summary["kv_rank"] = a.latent->kv_rank;
    summary["nope_dim"] = a.latent->nope_dim;
    summary["rope_dim"] = a.latent->rope_dim;
    summary["value_dim"] = a.latent->value_dim;
  }
  summary["qk_norm"] = a.qk_norm;
  std::vector<std::string> biases;
  if (a.qkv_bias) biases.emplace_back(a.latent ? "latents" : "qkv");
  if (a.attention_output_bias) biases.emplace_back("attention_output");
  if (a.mlp_bias) biases.emplace_back("mlp");
  summary["biases"] = biases;
  summary["sliding_window"] = nullptr;
  if (a.sliding_layers.empty()) return;
  summary["sliding_window"] = a.sliding_window;
  summary["sliding_layers"] = std::count(a.sliding_layers.begin(), a.sliding_layers.end(), true);
}

void AddExperts(const model::Architecture& a, ordered_json& summary) {
  if (!a.experts) return;
  const model::Experts& experts = *a.experts;
  summary["experts"] = {
      {"layers", std::count(a.expert_layers.begin(), a.expert_layers.end(), true)},
      {"routed", experts.count},
      {"per_token", experts.per_token},
      {"shared", experts.shared},
      {"intermediate_size", experts.intermediate_size},
      {"groups", experts.groups},
      {"groups_per_token", experts.groups_per_token},
      {"gate", experts.gate == model::Experts::Gate::kSigmoid ? "sigmoid" : "softmax"},
      {"scale", experts.scale}};
}

void AddArchitecture(const model::Architecture& a, ordered_json& summary) {
  summary["vocab_size"] = a.vocab_size;
  summary["hidden_size"] = a.hidden_size;
  summary["intermediate_size"] = a.intermediate_size;
  summary["layers"] = a.num_layers;
  AddAttention(a, summary);
  AddExperts(a, summary);
  summary["max_positions"] = a.max_positions;
  summary["rms_norm_eps"] = a.rms_norm_eps;
  summary["rope"] = RopeName(a.rope.type);
  summary["rope_theta"] = a.rope.theta;
  summary["tied_embeddings"] = a.tie_word_embeddings;
  summary["bos_token_id"] = nullptr;
  if (a.bos_token_id >= 0) summary["bos_token_id"] = a.bos_token_id;
  summary["eos_token_ids"] = a.eos_token_ids;
}

// What is absent or not supported yet is a part of the summary; what is damaged is an error.
bool IsDamage(const base::Error& error) {
  return error.code != Code::kUnimplemented && error.code != Code::kNotFound;
}

// Tensors of types that are not supported are counted, but of unknown size.
base::Status AddTensors(const model::ModelFiles& files, ordered_json& summary) {
  std::map<std::string, std::int64_t> types;
  std::int64_t parameters = 0;
  std::uint64_t bytes = 0;
  bool sizes_known = true;
  const std::vector<std::string> names = files.TensorNames();
  for (const std::string& name : names) {
    auto stored = files.DescribeStored(name);
    if (!stored && IsDamage(stored.error())) return base::Forward(std::move(stored));
    if (!stored) {
      ++types["unsupported"];
      sizes_known = false;
      continue;
    }
    for (const model::TensorDescription& part : *stored) {
      ++types[std::string(model::DataTypeName(part.type))];
      parameters += part.elements();
      bytes += part.bytes();
    }
  }
  summary["tensors"] = names.size();
  summary["parameters"] = nullptr;
  summary["types"] = types;
  summary["tensor_bytes"] = nullptr;
  summary["bits_per_weight"] = nullptr;
  if (!sizes_known) return {};
  summary["parameters"] = parameters;
  summary["tensor_bytes"] = bytes;
  if (parameters > 0) {
    summary["bits_per_weight"] = 8.0 * static_cast<double>(bytes) / static_cast<double>(parameters);
  }
  return {};
}

// Whether this build can run the model, and why not.
base::Status AddNetwork(const model::ModelFiles& files, ordered_json& summary) {
  const auto architecture = files.architecture();
  const bool has_weights = !files.TensorNames().empty();
  base::Status status;
  if (!architecture) {
    status = tl::unexpected<base::Error>(architecture.error());
  } else {
    AddArchitecture(*architecture, summary);
    if (has_weights) status = model::CheckTensors(files, *architecture);
  }
  if (status) return {};
  // A bare vocabulary has no network, which is no damage.
  if (has_weights && IsDamage(status.error())) return status;
  summary["supported"] = false;
  summary["note"] = status.error().message;
  return {};
}

base::Status AddTokenizer(const model::ModelFiles& files, ordered_json& summary) {
  auto tokenizer = files.LoadTokenizer();
  if (tokenizer) {
    summary["tokenizer"] = (*tokenizer)->description() + ", " +
                           std::to_string((*tokenizer)->vocab_size()) + " tokens" +
                           ((*tokenizer)->adds_bos() ? ", adds BOS" : "");
    summary["end_token_ids"] = (*tokenizer)->end_of_generation();
  } else if (IsDamage(tokenizer.error())) {
    return base::Forward(std::move(tokenizer));
  } else {
    summary["tokenizer"] = nullptr;
    summary["tokenizer_note"] = tokenizer.error().message;
  }
  auto chat = files.LoadChatTemplate();
  if (!chat && IsDamage(chat.error())) return base::Forward(std::move(chat));
  const bool unsupported = !chat && chat.error().code == Code::kUnimplemented;
  summary["chat_template"] = chat ? "supported" : unsupported ? "not supported yet" : "none";
  return {};
}

base::Status Run(std::span<const std::string> arguments) {
  Flags flags;
  flags.usage = "cloister model inspect PATH [--check] [--json]";
  flags.about =
      "Prints what a model is: format, network, weights and their types, tokenizer. PATH is a\n"
      "Hugging Face folder (config.json, safetensors) or a .gguf file; every size and offset in\n"
      "it is checked. A model that is whole but that this build cannot run has \"supported\": "
      "false\n"
      "and a note that tells why. --check reads every weight and fails on one that is no finite\n"
      "number.\n\n"
      "  cloister model inspect models/SmolLM2-135M-Instruct.Q4_1.gguf";
  flags.options.add_options()("path", po::value<std::string>()->required(),
                              "Model folder or .gguf file (the flag's name may be left out)")(
      "check", "Read every weight and refuse what is not finite")("json",
                                                                  "Print the summary as JSON");
  flags.positional.add("path", 1);
  CLOISTER_ASSIGN_OR_RETURN(const auto parsed, Parse(flags, arguments));
  if (!parsed) return {};
  const std::string path = (*parsed)["path"].as<std::string>();
  CLOISTER_ASSIGN_OR_RETURN(const auto files, model::ModelFiles::Open(path));
  ordered_json summary = {{"path", path}, {"format", files->format()}, {"supported", true}};
  CLOISTER_RETURN_IF_ERROR(AddNetwork(*files, summary));
  CLOISTER_RETURN_IF_ERROR(AddTensors(*files, summary));
  CLOISTER_RETURN_IF_ERROR(AddTokenizer(*files, summary));
  if (parsed->contains("check")) CLOISTER_RETURN_IF_ERROR(model::CheckWeights(*files));
  PrintResult(summary, parsed->contains("json"));
  return {};
}

}  // namespace

Command InspectCommand() { return {"model inspect", "Print what a model is", Run}; }

}  // namespace cloister::cli
