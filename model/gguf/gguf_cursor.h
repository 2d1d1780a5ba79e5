#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "base/result.h"
#include "model/gguf/gguf_types.h"
#include "model/gguf/gguf_value.h"

namespace cloister::model {

// Reads a GGUF header front to back. Every read is checked against the end of the file; arrays are
// bounded in depth and in elements, all of them together (kDataLoss).
class GgufCursor {
 public:
  static constexpr std::uint64_t kMaxElements = std::uint64_t{1} << 24;
  static constexpr int kMaxDepth = 4;

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
  base::Result<GgufValue> ReadArray(int depth);
  // The count of an array whose elements take at least `bytes` each.
  base::Result<std::uint64_t> ReadCount(std::uint64_t bytes);
  template <typename Stored, typename List>
  base::Result<GgufValue> ReadNumbers();
  base::Result<GgufValue> ReadLargeNumbers();
  base::Result<GgufValue> ReadStrings();
  base::Result<GgufValue> ReadNested(int depth);

  std::span<const std::byte> bytes_;
  std::uint64_t position_ = 0;
  std::uint64_t elements_left_ = kMaxElements;
};

}  // namespace cloister::model
