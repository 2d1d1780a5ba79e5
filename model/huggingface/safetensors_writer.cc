#include "model/huggingface/safetensors_writer.h"

#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/check.h"
#include "base/file.h"
#include "model/huggingface/tensor_shards.h"

namespace cloister::model {
namespace {

std::string StoredName(DataType type) {
  switch (type) {
    case DataType::kF32:
      return "F32";
    case DataType::kF16:
      return "F16";
    case DataType::kBF16:
      return "BF16";
    default:
      CLOISTER_CHECK(false);
  }
}

class SafetensorsWriter final : public TensorSink {
 public:
  SafetensorsWriter(base::AtomicFile file, std::vector<TensorSpec> tensors)
      : file_(std::move(file)), progress_(std::move(tensors)) {}

  base::Status WriteHeader() {
    nlohmann::ordered_json header = {{"__metadata__", {{"format", "pt"}}}};
    std::uint64_t offset = 0;
    for (const TensorSpec& spec : progress_.tensors()) {
      header[spec.name] = {{"dtype", StoredName(spec.type)},
                           {"shape", spec.shape},
                           {"data_offsets", {offset, offset + spec.bytes()}}};
      offset += spec.bytes();
    }
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');  // tensors start aligned
    const std::uint64_t size = text.size();
    char prefix[sizeof size];
    std::memcpy(prefix, &size, sizeof size);
    CLOISTER_RETURN_IF_ERROR(file_.Write(std::string_view(prefix, sizeof prefix)));
    return file_.Write(text);
  }

  base::Status Write(std::span<const std::byte> bytes) override {
    progress_.Add(bytes.size());
    return file_.Write(bytes);
  }

  base::Result<std::uint64_t> Commit() override {
    CLOISTER_CHECK(progress_.done());
    CLOISTER_RETURN_IF_ERROR(file_.Commit());
    return file_.size();
  }

 private:
  base::AtomicFile file_;
  TensorProgress progress_;
};

base::Result<std::unique_ptr<TensorSink>> NewOneFile(const std::filesystem::path& path,
                                                     TensorSpecs tensors) {
  CLOISTER_ASSIGN_OR_RETURN(base::AtomicFile file, base::AtomicFile::Create(path));
  auto writer = std::make_unique<SafetensorsWriter>(std::move(file), std::move(tensors));
  CLOISTER_RETURN_IF_ERROR(writer->WriteHeader());
  return std::unique_ptr<TensorSink>(std::move(writer));
}

std::string ShardName(const std::filesystem::path& path, std::size_t number, std::size_t count) {
  char tail[64];
  std::snprintf(tail, sizeof tail, "-%05zu-of-%05zu", number, count);
  return path.stem().string() + tail + path.extension().string();
}

// What Hugging Face's libraries read of an index: the data's size and each tensor's file.
std::string IndexText(const std::filesystem::path& path, const std::vector<TensorSpecs>& shards) {
  std::uint64_t size = 0;
  nlohmann::ordered_json places = nlohmann::ordered_json::object();
  for (std::size_t i = 0; i < shards.size(); ++i) {
    for (const TensorSpec& tensor : shards[i]) {
      size += tensor.bytes();
      places[tensor.name] = ShardName(path, i + 1, shards.size());
    }
  }
  const nlohmann::ordered_json index = {{"metadata", {{"total_size", size}}},
                                        {"weight_map", std::move(places)}};
  return index.dump(2) + "\n";
}

// The shards, and the index after them.
class IndexedShards final : public TensorSink {
 public:
  IndexedShards(std::unique_ptr<TensorSink> shards, std::filesystem::path index, std::string text)
      : shards_(std::move(shards)), index_(std::move(index)), text_(std::move(text)) {}

  base::Status Write(std::span<const std::byte> bytes) override { return shards_->Write(bytes); }

  base::Result<std::uint64_t> Commit() override {
    CLOISTER_ASSIGN_OR_RETURN(const std::uint64_t size, shards_->Commit());
    CLOISTER_RETURN_IF_ERROR(base::WriteFile(index_, text_));
    return size + text_.size();
  }

 private:
  std::unique_ptr<TensorSink> shards_;
  std::filesystem::path index_;
  std::string text_;
};

}  // namespace

base::Result<std::unique_ptr<TensorSink>> NewSafetensors(const std::filesystem::path& path,
                                                         std::vector<TensorSpec> tensors,
                                                         std::uint64_t max_bytes) {
  const std::vector<TensorSpecs> shards = CutIntoShards(std::move(tensors), max_bytes);
  if (shards.size() == 1) return NewOneFile(path, shards[0]);
  CLOISTER_RETURN_IF_ERROR(CheckShardCount(path, shards.size()));
  std::vector<std::unique_ptr<TensorSink>> files;
  for (const TensorSpecs& shard : shards) {
    const std::string name = ShardName(path, files.size() + 1, shards.size());
    CLOISTER_ASSIGN_OR_RETURN(auto file, NewOneFile(path.parent_path() / name, shard));
    files.push_back(std::move(file));
  }
  std::filesystem::path index = path;
  index += ".index.json";
  return std::unique_ptr<TensorSink>(std::make_unique<IndexedShards>(
      JoinSinks(std::move(files), shards), std::move(index), IndexText(path, shards)));
}

}  // namespace cloister::model
