#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/model_files.h"
#include "model/tokenizer/tokenizer_data.h"

namespace cloister::model {

// What the writers of this folder need of an opened model beyond ModelFiles.
class SourceModel : public ModelFiles {
 public:
  // ModelFiles::Open with this type.
  static base::Result<std::shared_ptr<const SourceModel>> Open(const std::filesystem::path& path);

  // The stored tokenizer with every token that ends a text: the network's, or the tokenizer's own
  // where the network names none, and the end of a turn that the chat template writes. kNotFound
  // when the model has none.
  base::Result<TokenizerData> LoadTokenizerData() const;
  virtual base::Result<std::string> ChatTemplateText() const = 0;
  // See special_token_texts.h.
  virtual base::Result<nlohmann::ordered_json> SpecialTokenTexts() const = 0;
  // Latent attention's kv_b_proj called `name` as the two tensors that a GGUF file holds instead,
  // its key or its value part; none where this file does not. A view into the mapped file.
  virtual std::optional<TensorView> StoredUpProjection(const std::string& name, bool key) const {
    (void)name, (void)key;
    return std::nullopt;
  }
  // The config.json of a folder that holds the same network.
  virtual base::Result<nlohmann::ordered_json> Config() const = 0;
  // Files that go into such a folder as they are (tokenizer.json, generation_config.json, …).
  virtual std::vector<std::filesystem::path> CompanionFiles() const = 0;
  // What GGUF says of the model's origin: general.name, general.license, … with their texts.
  virtual std::vector<std::pair<std::string, std::string>> Descriptions() const = 0;

  base::Result<std::shared_ptr<const Tokenizer>> LoadTokenizer() const override;
  base::Result<std::shared_ptr<const ChatTemplate>> LoadChatTemplate() const override;

 private:
  // Without `end_ids`.
  virtual base::Result<TokenizerData> StoredTokenizerData() const = 0;
};

base::Result<std::shared_ptr<const SourceModel>> OpenGguf(const std::filesystem::path& path);
base::Result<std::shared_ptr<const SourceModel>> OpenHuggingFace(const std::filesystem::path& path);

}  // namespace cloister::model
