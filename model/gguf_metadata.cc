#include "model/gguf_metadata.h"

#include <string>
#include <vector>

#include "model/gguf_architecture.h"
#include "model/tokenizer/pre_tokenizer.h"

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

GgufTokenType TypeOf(TokenKind kind) {
  switch (kind) {
    case TokenKind::kNormal:
      return GgufTokenType::kNormal;
    case TokenKind::kControl:
      return GgufTokenType::kControl;
    case TokenKind::kUserDefined:
      return GgufTokenType::kUserDefined;
    case TokenKind::kUnused:
      return GgufTokenType::kUnused;
  }
  return GgufTokenType::kUnused;
}

// GGUF wants a piece for every row of the embedding, each once.
base::Status AddVocabulary(const TokenizerData& data, const Architecture& a,
                           GgufMetadata& metadata) {
  const auto size = static_cast<std::size_t>(a.vocab_size);
  if (data.pieces.size() > size) {
    return base::Fail(Code::kDataLoss, "the tokenizer has " + std::to_string(data.pieces.size()) +
                                           " tokens, but the model only " + std::to_string(size) +
                                           ": they do not belong together");
  }
  std::vector<std::string> pieces = data.pieces;
  std::vector<std::int32_t> types;
  for (const TokenKind kind : data.kinds) types.push_back(static_cast<std::int32_t>(TypeOf(kind)));
  pieces.resize(size);
  types.resize(size, static_cast<std::int32_t>(GgufTokenType::kUnused));
  for (std::size_t id = 0; id < size; ++id) {
    if (pieces[id].empty()) pieces[id] = "[PAD" + std::to_string(id) + "]";
  }
  metadata.AddStrings("tokenizer.ggml.tokens", pieces);
  metadata.AddInt32s("tokenizer.ggml.token_type", types);
  metadata.AddStrings("tokenizer.ggml.merges", data.merges);
  return {};
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
    const auto cut = FindPreTokenizer(data->split_patterns, data->ignore_merges);
    if (!cut) {
      return base::Fail(Code::kUnimplemented, source.path().string() +
                                                  ": GGUF has no name for the way this tokenizer "
                                                  "cuts text: keep the model as a folder");
    }
    metadata.AddString("tokenizer.ggml.model", "gpt2");
    metadata.AddString("tokenizer.ggml.pre", cut->name);
    CLOISTER_RETURN_IF_ERROR(AddVocabulary(*data, a, metadata));
    metadata.AddBool("tokenizer.ggml.add_bos_token", data->adds_bos);
    metadata.AddBool("tokenizer.ggml.add_space_prefix", false);
    if (data->bos) bos = *data->bos;
    if (eos < 0) eos = data->eos.value_or(-1);
    AddId(metadata, "unknown", data->unknown.value_or(-1));
    AddId(metadata, "padding", data->padding.value_or(-1));
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
