#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "base/result.h"
#include "model/tensor.h"

namespace cloister::model {

// One mapped *.safetensors file (https://huggingface.co/docs/safetensors): u64 header length, a
// JSON header, tensor bytes. Immutable and thread-safe after Open. Open checks that the header is
// bounded and has no name twice, and that the tensors cover the rest of the file exactly, without
// overlap or gap.
class SafetensorsFile {
 public:
  static constexpr std::uint64_t kMaxHeader = std::uint64_t{100} << 20;  // the format's own limit

  struct Entry {
    std::string dtype;  // F32, F16, BF16, I64, …: any type of the format
    std::vector<std::int64_t> shape;
    std::span<const std::byte> data;
  };

  // kNotFound when absent, kDataLoss naming the file and the tensor when malformed.
  static base::Result<SafetensorsFile> Open(const std::filesystem::path& path);

  const std::map<std::string, Entry>& entries() const { return entries_; }
  const std::filesystem::path& path() const { return path_; }

  // kDataLoss when `name` is absent; kUnimplemented when its dtype is not F32, F16, BF16
  // or F8_E4M3, whose scales are tensors of their own (WithScales).
  base::Result<TensorView> Tensor(const std::string& name) const;

 private:
  SafetensorsFile(base::MappedFile file, std::filesystem::path path)
      : file_(std::move(file)), path_(std::move(path)) {}
  base::Status ReadHeader();

  base::MappedFile file_;
  std::filesystem::path path_;
  std::map<std::string, Entry> entries_;
};

}  // namespace cloister::model
