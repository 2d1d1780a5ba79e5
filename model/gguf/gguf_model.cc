#include <charconv>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "model/gguf/gguf_architecture.h"
#include "model/gguf/gguf_file.h"
#include "model/gguf/gguf_layout.h"
#include "model/gguf/latent_up.h"
#include "model/source_model.h"
#include "model/special_token_texts.h"
#include "model/tokenizer/gguf_tokenizer.h"

namespace cloister::model {
namespace {

using base::Code;

// Where a tensor of the network lies in the file.
struct Place {
  GgufTensor::Form form = GgufTensor::Form::kSame;
  const GgufFile::Entry* entry = nullptr;
  const GgufFile::Entry* value_up = nullptr;  // kKeyUp
  std::int64_t index = 0;                     // kStack
  std::vector<std::int64_t> shape;            // that the entry must have
  std::optional<PairOrder> order;
};

class GgufModel final : public SourceModel {
 public:
  explicit GgufModel(GgufFile file)
      : file_(std::move(file)), architecture_(ArchitectureFromGguf(file_)) {
    std::map<std::string_view, const GgufFile::Entry*> entries;
    for (const GgufFile::Entry& entry : file_.entries()) {
      if (entry.name != kRopeFrequencies) entries.emplace(entry.name, &entry);
    }
    if (architecture_) {
      for (const GgufTensor& tensor : GgufTensors(*architecture_)) Find(tensor, entries);
      EraseProposers(entries);
    }
    for (const auto& [name, entry] : entries) {  // no part of the network
      names_.emplace_back(name);
      places_.emplace(name, Place{.entry = entry});
    }
  }

  base::Result<Architecture> architecture() const override { return architecture_; }
  std::vector<std::string> TensorNames() const override { return names_; }
  void ReleasePages() const override { file_.ReleasePages(); }

  base::Result<TensorView> Tensor(const std::string& name) const override {
    CLOISTER_ASSIGN_OR_RETURN(const Place* place, PlaceOf(name));
    if (!Fits(*place)) return place->entry->view;
    if (place->form == GgufTensor::Form::kStack) return Slice(place->entry->view, place->index);
    if (place->form == GgufTensor::Form::kKeyUp || place->order) return Restored(*place);
    return place->entry->view;
  }

  // One that does not fit shows its own shape, for CheckTensors to refuse.
  base::Result<TensorDescription> Describe(const std::string& name) const override {
    CLOISTER_ASSIGN_OR_RETURN(const Place* place, PlaceOf(name));
    TensorDescription stored = {place->entry->view.type, place->entry->view.shape};
    if (!Fits(*place)) return stored;
    if (place->form == GgufTensor::Form::kStack) stored.shape.erase(stored.shape.begin());
    if (place->form == GgufTensor::Form::kKeyUp) {
      const LatentAttention& latent = *architecture_->latent;
      stored.type = JoinedType(stored.type, place->value_up->view.type);
      stored.shape = {architecture_->num_heads * (latent.nope_dim + latent.value_dim),
                      latent.kv_rank};
    }
    return stored;
  }

  base::Result<std::vector<TensorDescription>> DescribeStored(
      const std::string& name) const override {
    CLOISTER_ASSIGN_OR_RETURN(TensorDescription whole, Describe(name));
    std::vector<TensorDescription> parts;
    for (const bool key : {true, false}) {
      const auto part = StoredUpProjection(name, key);
      if (part) parts.push_back({part->type, part->shape});
    }
    if (parts.empty()) parts.push_back(std::move(whole));
    return parts;
  }

  std::optional<TensorView> StoredUpProjection(const std::string& name, bool key) const override {
    const auto place = PlaceOf(name);
    if (!place || (*place)->form != GgufTensor::Form::kKeyUp || !Fits(**place)) return std::nullopt;
    return key ? (*place)->entry->view : (*place)->value_up->view;
  }

  // As it lies in the file, where that is of the new age.
  base::Result<LatentUpProjection> LatentUp(std::int64_t layer) const override {
    const std::string name =
        "model.layers." + std::to_string(layer) + ".self_attn.kv_b_proj.weight";
    CLOISTER_ASSIGN_OR_RETURN(const Place* place, PlaceOf(name));
    if (place->form != GgufTensor::Form::kKeyUp) return ModelFiles::LatentUp(layer);
    return LatentUpProjection{place->entry->view, place->value_up->view};
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

  base::Result<nlohmann::ordered_json> SpecialTokenTexts() const override {
    return SpecialTokenTextsOf(file_);
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
  using Entries = std::map<std::string_view, const GgufFile::Entry*>;

  base::Result<const Place*> PlaceOf(const std::string& name) const {
    const auto found = places_.find(name);
    if (found == places_.end()) {
      return base::Fail(Code::kDataLoss, path().string() + " has no tensor " + name +
                                             ": the model is incomplete, fetch it again");
    }
    for (const GgufFile::Entry* entry : {found->second.entry, found->second.value_up}) {
      if (entry == nullptr || entry->unsupported.empty()) continue;
      return base::Fail(Code::kUnimplemented,
                        path().string() + ": tensor " + entry->name + ": " + entry->unsupported);
    }
    return &found->second;
  }

  // Claims the entries that `tensor` names.
  void Find(const GgufTensor& tensor, Entries& entries) {
    if (tensor.form == GgufTensor::Form::kValueUp) return;  // with its kKeyUp
    const auto take = [&](std::string_view name) -> const GgufFile::Entry* {
      const auto found = entries.find(name);
      if (found == entries.end()) return nullptr;
      const GgufFile::Entry* entry = found->second;
      entries.erase(found);
      return entry;
    };
    Place place = {.form = tensor.form, .entry = take(tensor.name), .order = tensor.order};
    place.shape = tensor.shape;
    if (tensor.form == GgufTensor::Form::kKeyUp) {
      const std::string stem = tensor.name.substr(0, tensor.name.rfind("attn_k_b"));
      place.value_up = take(stem + "attn_v_b.weight");
      if (place.entry == nullptr || place.value_up == nullptr) {
        place = {.entry = take(stem + kLegacyKvUp)};
      }
    }
    if (place.entry == nullptr) return;
    for (const std::string& part : tensor.parts) {
      names_.push_back(part);
      places_.emplace(part, place);
      ++place.index;
    }
  }

  // Extra layers that only propose tokens stand behind the network's own.
  void EraseProposers(Entries& entries) const {
    std::erase_if(entries, [&](const auto& item) {
      static constexpr std::string_view kPrefix = "blk.";
      std::int64_t layer = -1;
      const std::string_view name = item.first;
      if (!name.starts_with(kPrefix)) return false;
      std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), layer);
      return layer >= architecture_->num_layers &&
             layer < architecture_->num_layers + ProposingLayers(file_);
    });
  }

  // A tensor put back into Hugging Face's order.
  TensorView Restored(const Place& place) const {
    if (place.form == GgufTensor::Form::kKeyUp) {
      return JoinLatentUp(*architecture_->latent, architecture_->num_heads,
                          {place.entry->view, place.value_up->view});
    }
    TensorView view = place.entry->view;
    view.owned =
        std::make_shared<const std::vector<std::byte>>(PairRowsToHalves(view, *place.order));
    view.data = *view.owned;
    return view;
  }

  bool Fits(const Place& place) const {
    if (!place.shape.empty() && place.entry->view.shape != place.shape) return false;
    if (place.form != GgufTensor::Form::kKeyUp) return true;
    const LatentAttention& latent = *architecture_->latent;
    return place.value_up->view.shape ==
           std::vector<std::int64_t>{architecture_->num_heads, latent.value_dim, latent.kv_rank};
  }

  GgufFile file_;
  base::Result<Architecture> architecture_;
  std::vector<std::string> names_;
  std::map<std::string, Place> places_;
};

}  // namespace

base::Result<std::shared_ptr<const SourceModel>> OpenGguf(const std::filesystem::path& path) {
  CLOISTER_ASSIGN_OR_RETURN(GgufFile file, GgufFile::Open(path));
  return std::shared_ptr<const SourceModel>(std::make_shared<GgufModel>(std::move(file)));
}

}  // namespace cloister::model
