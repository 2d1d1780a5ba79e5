#include <array>
#include <map>
#include <optional>
#include <utility>

#include "model/gguf_architecture.h"
#include "model/gguf_file.h"
#include "model/gguf_layout.h"
#include "model/source_model.h"
#include "model/tokenizer/gguf_tokenizer.h"

namespace cloister::model {
namespace {

using base::Code;

class GgufModel final : public SourceModel {
 public:
  explicit GgufModel(GgufFile file)
      : file_(std::move(file)), architecture_(ArchitectureFromGguf(file_)) {
    for (const GgufFile::Entry& entry : file_.entries()) {
      if (entry.name == kRopeFrequencies) continue;  // a part of the architecture
      const std::string name = HuggingFaceTensorName(entry.name);
      names_.push_back(name);
      if (!entry.unsupported.empty()) {
        unsupported_.emplace(name, entry.unsupported);
        continue;
      }
      tensors_.emplace(name, Restored(name, entry.view));
    }
  }

  base::Result<Architecture> architecture() const override { return architecture_; }
  std::vector<std::string> TensorNames() const override { return names_; }

  base::Result<TensorView> Tensor(const std::string& name) const override {
    const auto found = tensors_.find(name);
    if (found != tensors_.end()) return found->second;
    if (const auto reason = unsupported_.find(name); reason != unsupported_.end()) {
      return base::Fail(Code::kUnimplemented,
                        path().string() + ": tensor " + name + ": " + reason->second);
    }
    return base::Fail(Code::kDataLoss, path().string() + " has no tensor " + name +
                                           " (GGUF: " + GgufTensorName(name) +
                                           "): the model is incomplete, fetch it again");
  }

  base::Result<TokenizerData> StoredTokenizerData() const override {
    return TokenizerDataFromGguf(file_);
  }

  base::Result<std::string> ChatTemplateText() const override {
    CLOISTER_ASSIGN_OR_RETURN(auto text, file_.String("tokenizer.chat_template"));
    if (text) return *std::move(text);
    return base::Fail(Code::kNotFound, path().string() +
                                           " has no tokenizer.chat_template: use a model that was "
                                           "tuned for chat, or a plain prompt");
  }

  base::Result<nlohmann::ordered_json> Config() const override {
    if (!architecture_) return tl::unexpected<base::Error>(architecture_.error());
    return ConfigFromArchitecture(*architecture_);
  }

  std::vector<std::filesystem::path> CompanionFiles() const override { return {}; }

  std::vector<std::pair<std::string, std::string>> Descriptions() const override {
    std::vector<std::pair<std::string, std::string>> texts;
    for (const auto& [key, value] : file_.metadata()) {
      const auto* text = std::get_if<std::string_view>(&value);
      if (text != nullptr && key.starts_with("general.") && key != "general.architecture") {
        texts.emplace_back(key, *text);
      }
    }
    return texts;
  }

  std::string format() const override { return "gguf"; }
  std::filesystem::path path() const override { return file_.path(); }

 private:
  // q and k with their rows in half order; any other tensor as it lies in the file. One whose shape
  // does not fit is left for CheckTensors to refuse.
  TensorView Restored(const std::string& name, const TensorView& stored) {
    if (!architecture_ || !(IsQueryWeight(name) || IsKeyWeight(name))) return stored;
    const bool query = IsQueryWeight(name);
    const std::int64_t heads = query ? architecture_->num_heads : architecture_->num_kv_heads;
    if (stored.shape.size() != 2 || stored.shape[0] != heads * architecture_->head_dim) {
      return stored;
    }
    TensorView view = stored;
    view.data = restored_.emplace_back(PairRowsToHalves(stored, architecture_->head_dim));
    return view;
  }

  GgufFile file_;
  base::Result<Architecture> architecture_;
  std::vector<std::string> names_;
  std::map<std::string, TensorView> tensors_;
  std::map<std::string, std::string> unsupported_;  // name to why
  std::vector<std::vector<std::byte>> restored_;    // moved as a whole, so views stay valid
};

}  // namespace

base::Result<std::shared_ptr<const SourceModel>> OpenGguf(const std::filesystem::path& path) {
  CLOISTER_ASSIGN_OR_RETURN(GgufFile file, GgufFile::Open(path));
  return std::shared_ptr<const SourceModel>(std::make_shared<GgufModel>(std::move(file)));
}

}  // namespace cloister::model
