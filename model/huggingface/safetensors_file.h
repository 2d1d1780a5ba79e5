#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/mapped_file.h"
#include "base/result.h"
#include "model/huggingface/safetensors_header.h"
#include "model/tensor.h"

namespace cloister::model {

// One mapped *.safetensors file: u64 header length, header, tensor bytes. Immutable and thread-safe
// after Open, which checks what ReadSafetensorsHeader checks.
class SafetensorsFile {
 public:
  struct Entry {
    std::string dtype;  // F32, F16, BF16, I64, …: any type of the format
    std::vector<std::int64_t> shape;
    std::span<const std::byte> data;
  };

  // kNotFound when absent, kDataLoss naming the file and the tensor when malformed.
  static base::Result<SafetensorsFile> Open(const std::filesystem::path& path);
  // A file that is in memory, which must outlive this object; errors name it `path`.
  static base::Result<SafetensorsFile> Read(std::span<const std::byte> bytes,
                                            const std::filesystem::path& path);

  const std::map<std::string, Entry>& entries() const { return entries_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::filesystem::path& path() const { return path_; }
  // See ModelFiles.
  void ReleasePages() const {
    if (file_) file_->ReleasePages();
  }

  // kDataLoss when `name` is absent; kUnimplemented when its dtype is not F32, F16, BF16 or
  // F8_E4M3, whose scales are tensors of their own (WithScales).
  base::Result<TensorView> Tensor(const std::string& name) const;

 private:
  explicit SafetensorsFile(std::filesystem::path path) : path_(std::move(path)) {}
  base::Status ReadHeader(std::span<const std::byte> bytes);

  std::filesystem::path path_;
  std::optional<base::MappedFile> file_;
  std::map<std::string, Entry> entries_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace cloister::model
