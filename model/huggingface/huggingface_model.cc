#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "base/file.h"
#include "model/config/fp8_config.h"
#include "model/config/json_reader.h"
#include "model/huggingface/safetensors_file.h"
#include "model/source_model.h"
#include "model/special_token_texts.h"
#include "model/tokenizer/tokenizer_json.h"

namespace cloister::model {
namespace {

using base::Code;
using nlohmann::json;

constexpr char kScaleSuffix[] = "_scale_inv";  // after X.weight
constexpr char kSingle[] = "model.safetensors";
constexpr char kIndex[] = "model.safetensors.index.json";
constexpr std::size_t kMaxShards = 4096;

bool Exists(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

// The shards of a folder and which of them holds each tensor.
struct Weights {
  std::map<std::string, SafetensorsFile> shards;  // by file name
  std::map<std::string, std::string> shard_of;    // by tensor name
};

base::Result<Weights> OpenSingle(const std::filesystem::path& folder) {
  Weights weights;
  CLOISTER_ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::Open(folder / kSingle));
  for (const auto& [name, entry] : file.entries()) weights.shard_of[name] = kSingle;
  weights.shards.emplace(kSingle, std::move(file));
  return weights;
}

// A shard's name comes from a file: it must stay within the folder.
bool IsPlainFileName(const std::string& name) {
  return !name.empty() && name.find('/') == std::string::npos && name.ends_with(".safetensors") &&
         name[0] != '.' && name.find('\0') == std::string::npos;
}

base::Result<Weights> OpenSharded(const std::filesystem::path& folder) {
  const std::filesystem::path index_path = folder / kIndex;
  CLOISTER_ASSIGN_OR_RETURN(const json index, ReadJsonObject(index_path));
  if (!index.contains("weight_map") || !index["weight_map"].is_object()) {
    return base::Fail(Code::kDataLoss, index_path.string() + " has no weight_map: fetch it again");
  }
  Weights weights;
  for (const auto& [name, file] : index["weight_map"].items()) {
    if (!file.is_string() || !IsPlainFileName(file.get<std::string>())) {
      return base::Fail(Code::kDataLoss, index_path.string() + ": tensor " + name +
                                             " does not name a .safetensors file of this folder");
    }
    const std::string shard = file.get<std::string>();
    if (!weights.shards.contains(shard)) {
      if (weights.shards.size() >= kMaxShards) {
        return base::Fail(Code::kDataLoss, index_path.string() + " names too many files");
      }
      CLOISTER_ASSIGN_OR_RETURN(SafetensorsFile opened, SafetensorsFile::Open(folder / shard));
      weights.shards.emplace(shard, std::move(opened));
    }
    if (!weights.shards.at(shard).entries().contains(name)) {
      return base::Fail(Code::kDataLoss, (folder / shard).string() + " has no tensor " + name +
                                             ", which the index promises: fetch it again");
    }
    weights.shard_of[name] = shard;
  }
  return weights;
}

// Buffers that old checkpoints carry and that the architecture implies.
bool IsImplied(const std::string& name, bool tied) {
  return name.ends_with(".rotary_emb.inv_freq") || (tied && name == "lm_head.weight");
}

class HuggingFaceModel final : public SourceModel {
 public:
  HuggingFaceModel(std::filesystem::path folder, json config, std::optional<json> generation,
                   Weights weights)
      : folder_(std::move(folder)),
        config_(std::move(config)),
        architecture_(ReadArchitecture(generation)),
        weights_(std::move(weights)) {
    const bool tied = architecture_ && architecture_->tie_word_embeddings;
    std::erase_if(weights_.shard_of, [&](const auto& item) {
      return IsImplied(item.first, tied) || IsOfProposingLayer(item.first);
    });
    fp8_ = Fp8FromConfig(config_).value_or(std::nullopt);  // an error is the architecture's too
  }

  base::Result<Architecture> architecture() const override { return architecture_; }

  std::vector<std::string> TensorNames() const override {
    std::vector<std::string> names;
    for (const auto& [name, shard] : weights_.shard_of) {
      if (!IsScaleOf8Bit(name)) names.push_back(name);
    }
    return names;
  }

  void ReleasePages() const override {
    for (const auto& [name, shard] : weights_.shards) shard.ReleasePages();
  }

  base::Result<TensorView> Tensor(const std::string& name) const override {
    const auto found = weights_.shard_of.find(name);
    if (found != weights_.shard_of.end()) {
      CLOISTER_ASSIGN_OR_RETURN(TensorView view, weights_.shards.at(found->second).Tensor(name));
      if (view.type != DataType::kF8E4M3) return view;
      return Scaled(name, std::move(view));
    }
    if (weights_.shards.empty()) {
      return base::Fail(Code::kNotFound, (folder_ / kSingle).string() +
                                             " does not exist: put the model's weights there");
    }
    return base::Fail(Code::kDataLoss, folder_.string() + " has no tensor " + name +
                                           ": the model is incomplete, fetch it again");
  }

  base::Result<TokenizerData> StoredTokenizerData() const override {
    return TokenizerDataFromFolder(folder_);
  }

  base::Result<std::string> ChatTemplateText() const override {
    return ChatTemplateTextFromFolder(folder_);
  }

  base::Result<nlohmann::ordered_json> SpecialTokenTexts() const override {
    return SpecialTokenTextsOf(folder_);
  }

  // Without what a copy does not have: 8-bit floats, layers that only propose tokens.
  base::Result<nlohmann::ordered_json> Config() const override {
    nlohmann::ordered_json config = config_;
    config.erase("quantization_config");
    if (config.contains("num_nextn_predict_layers")) config["num_nextn_predict_layers"] = 0;
    return config;
  }

  std::vector<std::filesystem::path> CompanionFiles() const override {
    static constexpr std::array<const char*, 9> kNames = {"generation_config.json",
                                                          "tokenizer.json",
                                                          "tokenizer_config.json",
                                                          "special_tokens_map.json",
                                                          "added_tokens.json",
                                                          "vocab.json",
                                                          "merges.txt",
                                                          "tokenizer.model",
                                                          "chat_template.jinja"};
    std::vector<std::filesystem::path> files;
    for (const char* name : kNames) {
      if (Exists(folder_ / name)) files.push_back(folder_ / name);
    }
    return files;
  }

  std::vector<std::pair<std::string, std::string>> Descriptions() const override { return {}; }
  std::string format() const override { return "huggingface"; }
  std::filesystem::path path() const override { return folder_; }

 private:
  base::Result<Architecture> ReadArchitecture(const std::optional<json>& generation) const {
    base::Result<Architecture> architecture = ArchitectureFromConfig(config_);
    if (!architecture) {
      return base::Annotate(std::move(architecture), (folder_ / "config.json").string());
    }
    if (!generation) return architecture;
    base::Result<std::vector<std::int64_t>> ids = EosTokenIds(*generation);
    base::Status status = ids ? base::Status() : base::Status(tl::unexpected(ids.error()));
    if (ids && !ids->empty()) {
      architecture->eos_token_ids = *ids;
      status = Validate(*architecture);
    }
    if (!status) {
      return base::Annotate(std::move(status), (folder_ / "generation_config.json").string());
    }
    return architecture;
  }

  // Layers behind the network's own that only propose tokens (multi-token prediction).
  bool IsOfProposingLayer(const std::string& name) const {
    static constexpr std::string_view kPrefix = "model.layers.";
    if (!architecture_ || !name.starts_with(kPrefix)) return false;
    const auto count = OptionalInteger(config_, "num_nextn_predict_layers");
    std::int64_t layer = -1;
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), layer);
    return count && layer >= architecture_->num_layers &&
           layer - architecture_->num_layers < count->value_or(0);
  }

  // X.weight_scale_inv beside an 8-bit X.weight.
  bool IsScaleOf8Bit(const std::string& name) const {
    if (!fp8_ || !name.ends_with(kScaleSuffix)) return false;
    return weights_.shard_of.contains(name.substr(0, name.size() - std::strlen(kScaleSuffix)));
  }

  base::Result<TensorView> Scaled(const std::string& name, TensorView view) const {
    const std::string scale_name = name + kScaleSuffix;
    const auto found = weights_.shard_of.find(scale_name);
    if (!fp8_ || found == weights_.shard_of.end()) {
      return base::Fail(Code::kDataLoss,
                        folder_.string() + ": tensor " + name + " is F8_E4M3, but there is no " +
                            (fp8_ ? scale_name : "quantization_config in config.json") +
                            ": the model is incomplete, fetch it again");
    }
    CLOISTER_ASSIGN_OR_RETURN(const TensorView scales,
                              weights_.shards.at(found->second).Tensor(scale_name));
    return WithScales(name, std::move(view), scales, fp8_->block_rows, fp8_->block_columns);
  }

  std::filesystem::path folder_;
  json config_;
  base::Result<Architecture> architecture_;
  Weights weights_;
  std::optional<Fp8Config> fp8_;
};

}  // namespace

base::Result<std::shared_ptr<const SourceModel>> OpenHuggingFace(
    const std::filesystem::path& folder) {
  const std::filesystem::path config_path = folder / "config.json";
  if (!Exists(config_path)) {
    return base::Fail(
        Code::kNotFound,
        config_path.string() + " does not exist: give a model's folder or a .gguf file");
  }
  CLOISTER_ASSIGN_OR_RETURN(json config, ReadJsonObject(config_path));
  std::optional<json> generation;
  if (Exists(folder / "generation_config.json")) {
    CLOISTER_ASSIGN_OR_RETURN(generation, ReadJsonObject(folder / "generation_config.json"));
  }
  Weights weights;
  if (Exists(folder / kSingle)) {
    CLOISTER_ASSIGN_OR_RETURN(weights, OpenSingle(folder));
  } else if (Exists(folder / kIndex)) {
    CLOISTER_ASSIGN_OR_RETURN(weights, OpenSharded(folder));
  }
  return std::shared_ptr<const SourceModel>(std::make_shared<HuggingFaceModel>(
      folder, std::move(config), std::move(generation), std::move(weights)));
}

}  // namespace cloister::model
