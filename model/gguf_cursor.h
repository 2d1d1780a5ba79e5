#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "base/result.h"
#include "model/gguf_file.h"

namespace cloister::model {

// Reads a GGUF header front to back. Every read is checked against the end of the file (kDataLoss).
class GgufCursor {
 public:
  explicit GgufCursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::uint64_t position() const { return position_; }
  std::uint64_t left() const { return bytes_.size() - position_; }

  template <typename T>
  base::Result<T> Read() {
    static_assert(std::is_arithmetic_v<T>);
    if (left() < sizeof(T)) return CutOff();
    T value;
    std::memcpy(&value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  base::Result<std::string_view> ReadString();
  base::Result<GgufValue> ReadValue();

 private:
  static tl::unexpected<base::Error> CutOff();
  base::Result<GgufValue> ReadScalar(GgufType type);
  base::Result<GgufValue> ReadArray();
  template <typename Stored, typename List>
  base::Result<GgufValue> ReadNumbers(std::uint64_t count);

  std::span<const std::byte> bytes_;
  std::uint64_t position_ = 0;
};

}  // namespace cloister::model
