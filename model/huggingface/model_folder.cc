#include "model/huggingface/model_folder.h"

#include <string>
#include <system_error>
#include <utility>

#include "base/file.h"
#include "model/tokenizer/tokenizer_json.h"

namespace cloister::model {
namespace {

using base::Code;
using nlohmann::ordered_json;

std::string Text(const ordered_json& value) {
  return value.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

const char* TorchName(DataType type) {
  if (type == DataType::kF16) return "float16";
  return type == DataType::kBF16 ? "bfloat16" : "float32";
}

base::Status WriteTokenizer(const SourceModel& source, const std::filesystem::path& folder) {
  base::Result<TokenizerData> data = source.LoadTokenizerData();
  if (!data && data.error().code == Code::kNotFound) return {};
  if (!data) return base::Forward(std::move(data));
  const base::Result<std::string> text = source.ChatTemplateText();
  if (!text && text.error().code != Code::kNotFound) {
    return tl::unexpected<base::Error>(text.error());
  }
  CLOISTER_ASSIGN_OR_RETURN(const ordered_json tokenizer, TokenizerJson(*data));
  CLOISTER_RETURN_IF_ERROR(base::WriteFile(folder / "tokenizer.json", Text(tokenizer)));
  return base::WriteFile(folder / "tokenizer_config.json",
                         Text(TokenizerConfigJson(*data, text.value_or(""))));
}

base::Status WriteGenerationConfig(const Architecture& architecture,
                                   const std::filesystem::path& folder) {
  ordered_json config = ordered_json::object();
  if (architecture.bos_token_id >= 0) config["bos_token_id"] = architecture.bos_token_id;
  if (architecture.eos_token_ids.size() == 1)
    config["eos_token_id"] = architecture.eos_token_ids[0];
  if (architecture.eos_token_ids.size() > 1) config["eos_token_id"] = architecture.eos_token_ids;
  return base::WriteFile(folder / "generation_config.json", Text(config));
}

}  // namespace

base::Result<ModelFolder> ModelFolder::Create(const std::filesystem::path& given) {
  std::filesystem::path output = given.has_filename() ? given : given.parent_path();
  if (output.empty()) {
    return base::Fail(Code::kInvalidArgument,
                      "the output has no name: give a new folder's or a .gguf file's");
  }
  CLOISTER_ASSIGN_OR_RETURN(output, base::ResolvedOutput(output));
  std::error_code error;
  const bool exists = std::filesystem::exists(output, error);
  const bool empty = exists && std::filesystem::is_directory(output, error) &&
                     std::filesystem::is_empty(output, error);
  if (exists && !empty) {
    return base::Fail(Code::kAlreadyExists,
                      output.string() + " is there already: choose another output or remove it");
  }
  base::RemoveAbandonedTemporaries(output);
  std::filesystem::path temporary = base::TemporaryName(output);
  std::filesystem::remove_all(temporary, error);
  if (!std::filesystem::create_directory(temporary, error)) {
    return base::Fail(Code::kUnavailable, "cannot make folder " + output.string() + " (" +
                                              error.message() +
                                              "): check that its parent exists and may be written");
  }
  return ModelFolder(output, std::move(temporary));
}

ModelFolder::ModelFolder(ModelFolder&& other) noexcept
    : output_(std::move(other.output_)), temporary_(std::exchange(other.temporary_, {})) {}

ModelFolder::~ModelFolder() {
  std::error_code ignored;
  if (!temporary_.empty()) std::filesystem::remove_all(temporary_, ignored);
}

base::Result<std::uint64_t> ModelFolder::Commit() {
  std::uint64_t bytes = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(temporary_, error)) {
    bytes += entry.file_size(error);
  }
  std::filesystem::rename(temporary_, output_, error);
  if (error) {
    return base::Fail(Code::kUnavailable, "cannot write " + output_.string() + " (" +
                                              error.message() +
                                              "): check its folder's rights and the disk");
  }
  temporary_.clear();
  base::SyncFolderOf(output_);
  return bytes;
}

base::Status WriteDescription(const SourceModel& source, const Architecture& architecture,
                              DataType main_type, const std::filesystem::path& folder) {
  CLOISTER_ASSIGN_OR_RETURN(ordered_json config, source.Config());
  config["dtype"] = TorchName(main_type);
  config["torch_dtype"] = TorchName(main_type);  // the older spelling
  CLOISTER_RETURN_IF_ERROR(base::WriteFile(folder / "config.json", Text(config)));
  if (source.format() == "gguf") {
    CLOISTER_RETURN_IF_ERROR(WriteGenerationConfig(architecture, folder));
    return WriteTokenizer(source, folder);
  }
  for (const std::filesystem::path& file : source.CompanionFiles()) {
    CLOISTER_ASSIGN_OR_RETURN(const std::string content, base::ReadRegularFile(file));
    CLOISTER_RETURN_IF_ERROR(base::WriteFile(folder / file.filename(), content));
  }
  return {};
}

}  // namespace cloister::model
