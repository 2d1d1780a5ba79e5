#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/gguf/gguf_types.h"
#include "model/tensor_sink.h"

namespace cloister::model {

// GGUF metadata in the order of the calls. Each key once.
class GgufMetadata {
 public:
  void AddUint16(std::string_view key, std::uint16_t value);
  void AddInt32(std::string_view key, std::int32_t value);
  void AddUint32(std::string_view key, std::uint32_t value);
  void AddUint64(std::string_view key, std::uint64_t value);
  void AddFloat32(std::string_view key, float value);
  void AddFloat64(std::string_view key, double value);
  void AddBool(std::string_view key, bool value);
  void AddString(std::string_view key, std::string_view value);
  void AddStrings(std::string_view key, std::span<const std::string> values);
  void AddInt32s(std::string_view key, std::span<const std::int32_t> values);
  void AddFloat32s(std::string_view key, std::span<const float> values);

  std::uint64_t count() const { return count_; }
  const std::string& bytes() const { return bytes_; }

 private:
  void Start(std::string_view key, GgufType type);

  std::string bytes_;
  std::uint64_t count_ = 0;
};

// A new GGUF file of version 3 with tensors aligned to 32 bytes. Where the tensors have more than
// `max_bytes` (0: no limit) the model is split instead, as llama.cpp's gguf-split does it: for
// m.gguf, files m-00001-of-00003.gguf and so on, whose first has the metadata. kInvalidArgument
// when that takes too many files.
base::Result<std::unique_ptr<TensorSink>> NewGguf(const std::filesystem::path& path,
                                                  const GgufMetadata& metadata,
                                                  std::vector<TensorSpec> tensors,
                                                  std::uint64_t max_bytes = 0);

}  // namespace cloister::model
