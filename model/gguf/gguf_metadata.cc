#include "model/gguf/gguf_metadata.h"

#include <string>
#include <vector>

#include "model/gguf/gguf_architecture.h"
#include "model/tokenizer/gguf_tokenizer.h"

namespace cloister::model {
namespace {

using base::Code;

// llama_ftype of llama.h.
std::uint32_t FileType(DataType type) {
  switch (type) {
    case DataType::kF32:
      return 0;
    case DataType::kF16:
      return 1;
    case DataType::kQ4_0:
      return 2;
    case DataType::kQ4_1:
      return 3;
    case DataType::kQ8_0:
      return 7;
    case DataType::kQ5_0:
      return 8;
    case DataType::kQ5_1:
      return 9;
    case DataType::kQ4_K:
      return 14;  // the mix "small", which is Q4_K everywhere
    case DataType::kQ5_K:
      return 16;
    case DataType::kQ6_K:
      return 18;
    case DataType::kBF16:
      return 32;
    case DataType::kF8E4M3:
      break;
  }
  return 0;
}

void AddSize(GgufMetadata& metadata, const std::string& key, std::int64_t value) {
  metadata.AddUint32(key, static_cast<std::uint32_t>(value));
}

void AddGeneral(const SourceModel& source, DataType main_type, GgufMetadata& metadata) {
  bool named = false;
  for (const auto& [key, text] : source.Descriptions()) {
    if (key == "general.file_type" || key == "general.quantization_version") continue;
    metadata.AddString(key, text);
    named = named || key == "general.name";
  }
  const std::filesystem::path path = source.path();
  if (!named) {
    const std::filesystem::path leaf = path.has_filename() ? path : path.parent_path();
    metadata.AddString("general.name", leaf.filename().string());
  }
  AddSize(metadata, "general.file_type", FileType(main_type));
  AddSize(metadata, "general.quantization_version", 2);
}

void AddId(GgufMetadata& metadata, const std::string& name, std::int64_t id) {
  if (id >= 0) AddSize(metadata, "tokenizer.ggml." + name + "_token_id", id);
}

base::Status AddTokenizer(const SourceModel& source, const Architecture& a,
                          GgufMetadata& metadata) {
  base::Result<TokenizerData> data = source.LoadTokenizerData();
  const bool absent = !data && data.error().code == Code::kNotFound;
  if (!data && !absent) return base::Forward(std::move(data));
  std::int64_t bos = a.bos_token_id;
  std::int64_t eos = a.eos_token_ids.empty() ? -1 : a.eos_token_ids[0];
  if (!absent) {
    base::Status added = AddTokenizerToGguf(*data, a.vocab_size, metadata);
    if (!added) return base::Annotate(std::move(added), source.path().string());
    if (data->bos) bos = *data->bos;
    if (eos < 0) eos = data->eos.value_or(-1);
  }
  if (absent) metadata.AddString("tokenizer.ggml.model", "none");  // llama.cpp asks for the key
  AddId(metadata, "bos", bos);
  AddId(metadata, "eos", eos);
  if (a.eos_token_ids.size() > 1) {
    metadata.AddInt32s(kEosIdsKey,
                       std::vector<std::int32_t>(a.eos_token_ids.begin(), a.eos_token_ids.end()));
  }
  return {};
}

}  // namespace

base::Result<GgufMetadata> MetadataFor(const SourceModel& source, const Architecture& architecture,
                                       DataType main_type) {
  GgufMetadata metadata;
  CLOISTER_RETURN_IF_ERROR(AddNetwork(architecture, metadata));
  AddGeneral(source, main_type, metadata);
  CLOISTER_RETURN_IF_ERROR(AddTokenizer(source, architecture, metadata));
  const base::Result<std::string> text = source.ChatTemplateText();
  if (text) {
    metadata.AddString("tokenizer.chat_template", *text);
  } else if (text.error().code != Code::kNotFound) {
    return tl::unexpected<base::Error>(text.error());
  }
  return metadata;
}

}  // namespace cloister::model
