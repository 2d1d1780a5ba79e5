#include "model/huggingface/safetensors_file.h"

#include <cstring>
#include <string_view>

namespace cloister::model {
namespace {

using base::Code;

constexpr std::size_t kPrefix = 8;

std::optional<DataType> TypeOf(std::string_view dtype) {
  if (dtype == "F32") return DataType::kF32;
  if (dtype == "F16") return DataType::kF16;
  if (dtype == "BF16") return DataType::kBF16;
  if (dtype == "F8_E4M3") return DataType::kF8E4M3;
  return std::nullopt;
}

}  // namespace

base::Result<SafetensorsFile> SafetensorsFile::Open(const std::filesystem::path& path) {
  CLOISTER_ASSIGN_OR_RETURN(base::MappedFile mapped, base::MappedFile::Open(path));
  CLOISTER_ASSIGN_OR_RETURN(SafetensorsFile file, Read(mapped.bytes(), path));
  file.file_.emplace(std::move(mapped));
  return file;
}

base::Result<SafetensorsFile> SafetensorsFile::Read(std::span<const std::byte> bytes,
                                                    const std::filesystem::path& path) {
  SafetensorsFile file(path);
  if (base::Status status = file.ReadHeader(bytes); !status) {
    return base::Annotate(std::move(status), path.string());
  }
  return file;
}

base::Status SafetensorsFile::ReadHeader(std::span<const std::byte> bytes) {
  std::uint64_t size = 0;
  if (bytes.size() >= kPrefix) std::memcpy(&size, bytes.data(), kPrefix);
  if (bytes.size() < kPrefix || size > SafetensorsHeader::kMaxBytes ||
      size > bytes.size() - kPrefix) {
    return base::Fail(Code::kDataLoss,
                      "the header is cut off or longer than the format allows: the file is "
                      "damaged, fetch it again");
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + kPrefix, size);
  const std::span<const std::byte> data = bytes.subspan(kPrefix + size);
  CLOISTER_ASSIGN_OR_RETURN(SafetensorsHeader header, ReadSafetensorsHeader(text, data.size()));
  for (auto& [name, entry] : header.entries) {
    entries_.emplace(name, Entry{std::move(entry.dtype), std::move(entry.shape),
                                 data.subspan(entry.begin, entry.end - entry.begin)});
  }
  metadata_ = std::move(header.metadata);
  return {};
}

base::Result<TensorView> SafetensorsFile::Tensor(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    return base::Fail(Code::kDataLoss, path_.string() + " has no tensor " + name +
                                           ": the file is incomplete, fetch it again");
  }
  const Entry& entry = found->second;
  const std::optional<DataType> type = TypeOf(entry.dtype);
  if (!type) {
    return base::Fail(Code::kUnimplemented, path_.string() + ": tensor " + name + " has dtype " +
                                                entry.dtype +
                                                ": F32, F16, BF16 and F8_E4M3 are supported");
  }
  return TensorView{*type, entry.shape, entry.data};
}

}  // namespace cloister::model
