#include "model/model_files.h"

#include <set>

#include "base/check.h"
#include "model/chat_template.h"
#include "model/gguf/latent_up.h"
#include "model/source_model.h"

namespace cloister::model {
namespace {

using base::Code;

std::string ShapeText(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t size : shape) {
    text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  }
  return text + "]";
}

}  // namespace

base::Result<std::shared_ptr<const SourceModel>> SourceModel::Open(
    const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    return base::Fail(Code::kNotFound, path.string() +
                                           " does not exist: give a folder with config.json or a "
                                           ".gguf file");
  }
  if (std::filesystem::is_directory(path, ignored)) return OpenHuggingFace(path);
  return OpenGguf(path);
}

base::Result<TokenizerData> SourceModel::LoadTokenizerData() const {
  CLOISTER_ASSIGN_OR_RETURN(TokenizerData data, StoredTokenizerData());
  const base::Result<Architecture> network = architecture();
  std::vector<TokenId> ends;
  if (network && !network->eos_token_ids.empty()) {
    ends.assign(network->eos_token_ids.begin(), network->eos_token_ids.end());
  } else if (data.eos) {
    ends = {*data.eos};
  }
  // Those that the tokenizer itself names come behind.
  data.end_ids.insert(data.end_ids.begin(), ends.begin(), ends.end());
  const base::Result<std::string> text = ChatTemplateText();
  if (text) {
    for (const TokenId id : TurnEnds(data, *text)) data.end_ids.push_back(id);
  }
  return data;
}

base::Result<std::shared_ptr<const Tokenizer>> SourceModel::LoadTokenizer() const {
  CLOISTER_ASSIGN_OR_RETURN(TokenizerData data, LoadTokenizerData());
  base::Result<std::shared_ptr<const Tokenizer>> tokenizer = MakeTokenizer(std::move(data));
  if (!tokenizer) return base::Annotate(std::move(tokenizer), path().string());
  return tokenizer;
}

base::Result<std::shared_ptr<const ChatTemplate>> SourceModel::LoadChatTemplate() const {
  CLOISTER_ASSIGN_OR_RETURN(const std::string text, ChatTemplateText());
  CLOISTER_ASSIGN_OR_RETURN(const nlohmann::ordered_json tokens, SpecialTokenTexts());
  base::Result<std::shared_ptr<const ChatTemplate>> made =
      MakeChatTemplate(text, {ModelVariables(tokens), {}});
  if (!made) return base::Annotate(std::move(made), path().string());
  return made;
}

base::Result<std::shared_ptr<const ModelFiles>> ModelFiles::Open(
    const std::filesystem::path& path) {
  CLOISTER_ASSIGN_OR_RETURN(std::shared_ptr<const SourceModel> model, SourceModel::Open(path));
  return std::shared_ptr<const ModelFiles>(std::move(model));
}

base::Result<TensorDescription> ModelFiles::Describe(const std::string& name) const {
  CLOISTER_ASSIGN_OR_RETURN(const TensorView tensor, Tensor(name));
  return TensorDescription{tensor.type, tensor.shape};
}

base::Result<std::vector<TensorDescription>> ModelFiles::DescribeStored(
    const std::string& name) const {
  CLOISTER_ASSIGN_OR_RETURN(TensorDescription whole, Describe(name));
  return std::vector<TensorDescription>{std::move(whole)};
}

base::Result<LatentUpProjection> ModelFiles::LatentUp(std::int64_t layer) const {
  CLOISTER_ASSIGN_OR_RETURN(const Architecture a, architecture());
  CLOISTER_CHECK(a.latent.has_value());
  CLOISTER_ASSIGN_OR_RETURN(
      const TensorView stored,
      Tensor("model.layers." + std::to_string(layer) + ".self_attn.kv_b_proj.weight"));
  return SplitLatentUp(*a.latent, a.num_heads, stored);
}

base::Status CheckTensors(const ModelFiles& files, const Architecture& architecture) {
  std::set<std::string> known;
  for (const NamedShape& expected : ExpectedTensors(architecture)) {
    CLOISTER_ASSIGN_OR_RETURN(const TensorDescription stored, files.Describe(expected.name));
    if (stored.shape != expected.shape) {
      return base::Fail(Code::kDataLoss, files.path().string() + ": tensor " + expected.name +
                                             " is " + ShapeText(stored.shape) +
                                             ", but the config "
                                             "asks for " +
                                             ShapeText(expected.shape) +
                                             ": weights and config do not belong together");
    }
    known.insert(expected.name);
  }
  for (const std::string& name : files.TensorNames()) {
    if (!known.contains(name)) {
      return base::Fail(Code::kUnimplemented,
                        files.path().string() + ": tensor " + name +
                            " is no part of the network that the config describes: weights and "
                            "config do not belong together");
    }
  }
  return {};
}

}  // namespace cloister::model
