#include "model/gguf/gguf_writer.h"

#include <array>
#include <type_traits>
#include <utility>

#include "base/check.h"
#include "base/file.h"
#include "model/gguf/gguf_split.h"
#include "model/huggingface/tensor_shards.h"

namespace cloister::model {
namespace {

constexpr std::uint32_t kVersion = 3;

template <typename T>
void Put(std::string& to, T value) {
  static_assert(std::is_arithmetic_v<T>);
  to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void PutString(std::string& to, std::string_view text) {
  Put<std::uint64_t>(to, text.size());
  to.append(text);
}

std::uint64_t Aligned(std::uint64_t offset) {
  return (offset + kGgufAlignment - 1) / kGgufAlignment * kGgufAlignment;
}

class GgufWriter final : public TensorSink {
 public:
  GgufWriter(base::AtomicFile file, std::vector<TensorSpec> tensors)
      : file_(std::move(file)), progress_(std::move(tensors)) {}

  base::Status WriteHeader(const GgufMetadata& metadata) {
    std::string header;
    Put(header, kGgufMagic);
    Put(header, kVersion);
    Put<std::uint64_t>(header, progress_.tensors().size());
    Put<std::uint64_t>(header, metadata.count());
    header += metadata.bytes();
    std::uint64_t offset = 0;
    for (const TensorSpec& spec : progress_.tensors()) {
      PutString(header, spec.name);
      Put(header, static_cast<std::uint32_t>(spec.shape.size()));
      for (auto size = spec.shape.rbegin(); size != spec.shape.rend(); ++size) {
        Put(header, static_cast<std::uint64_t>(*size));
      }
      Put(header, GgmlTypeNumber(spec.type));
      Put(header, offset);
      offset = Aligned(offset + spec.bytes());
    }
    CLOISTER_RETURN_IF_ERROR(file_.Write(header));
    return Pad();
  }

  base::Status Write(std::span<const std::byte> bytes) override {
    const bool ends = progress_.Add(bytes.size());
    CLOISTER_RETURN_IF_ERROR(file_.Write(bytes));
    return ends ? Pad() : base::Status();
  }

  base::Result<std::uint64_t> Commit() override {
    CLOISTER_CHECK(progress_.done());
    CLOISTER_RETURN_IF_ERROR(file_.Commit());
    return file_.size();
  }

 private:
  base::Status Pad() {
    static constexpr std::array<std::byte, kGgufAlignment> kZeros = {};
    return file_.Write(std::span(kZeros).first(Aligned(file_.size()) - file_.size()));
  }

  base::AtomicFile file_;
  TensorProgress progress_;
};

}  // namespace

void GgufMetadata::Start(std::string_view key, GgufType type) {
  ++count_;
  PutString(bytes_, key);
  Put(bytes_, static_cast<std::uint32_t>(type));
}

void GgufMetadata::AddUint16(std::string_view key, std::uint16_t value) {
  Start(key, GgufType::kUint16);
  Put(bytes_, value);
}

void GgufMetadata::AddInt32(std::string_view key, std::int32_t value) {
  Start(key, GgufType::kInt32);
  Put(bytes_, value);
}

void GgufMetadata::AddUint32(std::string_view key, std::uint32_t value) {
  Start(key, GgufType::kUint32);
  Put(bytes_, value);
}

void GgufMetadata::AddUint64(std::string_view key, std::uint64_t value) {
  Start(key, GgufType::kUint64);
  Put(bytes_, value);
}

void GgufMetadata::AddFloat32(std::string_view key, float value) {
  Start(key, GgufType::kFloat32);
  Put(bytes_, value);
}

void GgufMetadata::AddFloat64(std::string_view key, double value) {
  Start(key, GgufType::kFloat64);
  Put(bytes_, value);
}

void GgufMetadata::AddBool(std::string_view key, bool value) {
  Start(key, GgufType::kBool);
  Put<std::uint8_t>(bytes_, value ? 1 : 0);
}

void GgufMetadata::AddString(std::string_view key, std::string_view value) {
  Start(key, GgufType::kString);
  PutString(bytes_, value);
}

void GgufMetadata::AddStrings(std::string_view key, std::span<const std::string> values) {
  Start(key, GgufType::kArray);
  Put(bytes_, static_cast<std::uint32_t>(GgufType::kString));
  Put<std::uint64_t>(bytes_, values.size());
  for (const std::string& value : values) PutString(bytes_, value);
}

void GgufMetadata::AddInt32s(std::string_view key, std::span<const std::int32_t> values) {
  Start(key, GgufType::kArray);
  Put(bytes_, static_cast<std::uint32_t>(GgufType::kInt32));
  Put<std::uint64_t>(bytes_, values.size());
  for (const std::int32_t value : values) Put(bytes_, value);
}

void GgufMetadata::AddFloat32s(std::string_view key, std::span<const float> values) {
  Start(key, GgufType::kArray);
  Put(bytes_, static_cast<std::uint32_t>(GgufType::kFloat32));
  Put<std::uint64_t>(bytes_, values.size());
  for (const float value : values) Put(bytes_, value);
}

namespace {

base::Result<std::unique_ptr<TensorSink>> NewOneGguf(const std::filesystem::path& path,
                                                     const GgufMetadata& metadata,
                                                     TensorSpecs tensors) {
  CLOISTER_ASSIGN_OR_RETURN(base::AtomicFile file, base::AtomicFile::Create(path));
  auto writer = std::make_unique<GgufWriter>(std::move(file), std::move(tensors));
  CLOISTER_RETURN_IF_ERROR(writer->WriteHeader(metadata));
  return std::unique_ptr<TensorSink>(std::move(writer));
}

}  // namespace

base::Result<std::unique_ptr<TensorSink>> NewGguf(const std::filesystem::path& path,
                                                  const GgufMetadata& metadata,
                                                  std::vector<TensorSpec> tensors,
                                                  std::uint64_t max_bytes) {
  const auto all = static_cast<std::int32_t>(tensors.size());
  const std::vector<TensorSpecs> shards = CutIntoShards(std::move(tensors), max_bytes);
  if (shards.size() == 1) return NewOneGguf(path, metadata, shards[0]);
  CLOISTER_RETURN_IF_ERROR(CheckShardCount(path, shards.size()));
  GgufPartName name;
  name.stem = path.parent_path() / path.stem();
  name.count = static_cast<std::int64_t>(shards.size());
  std::vector<std::unique_ptr<TensorSink>> files;
  for (const TensorSpecs& shard : shards) {
    GgufMetadata own = files.empty() ? metadata : GgufMetadata();
    own.AddUint16(kSplitNumberKey, static_cast<std::uint16_t>(files.size()));
    own.AddUint16(kSplitCountKey, static_cast<std::uint16_t>(shards.size()));
    own.AddInt32(kSplitTensorsKey, all);
    name.number = static_cast<std::int64_t>(files.size()) + 1;
    CLOISTER_ASSIGN_OR_RETURN(auto file, NewOneGguf(name.path(), own, shard));
    files.push_back(std::move(file));
  }
  return JoinSinks(std::move(files), shards);
}

}  // namespace cloister::model
