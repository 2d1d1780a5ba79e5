#include "model/safetensors_writer.h"

#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/check.h"
#include "base/file.h"

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

}  // namespace

base::Result<std::unique_ptr<TensorSink>> NewSafetensors(const std::filesystem::path& path,
                                                         std::vector<TensorSpec> tensors) {
  CLOISTER_ASSIGN_OR_RETURN(base::AtomicFile file, base::AtomicFile::Create(path));
  auto writer = std::make_unique<SafetensorsWriter>(std::move(file), std::move(tensors));
  CLOISTER_RETURN_IF_ERROR(writer->WriteHeader());
  return std::unique_ptr<TensorSink>(std::move(writer));
}

}  // namespace cloister::model
