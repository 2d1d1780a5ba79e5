#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "model/tensor.h"

namespace cloister::model {

// Numbers of the GGUF format (ggml's docs/gguf.md), version 3, little-endian.
inline constexpr std::uint32_t kGgufMagic = 0x46554747;  // "GGUF"
inline constexpr std::uint64_t kGgufAlignment = 32;      // unless general.alignment says otherwise

enum class GgufType : std::uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

// ggml's numbers of the tensor types that we hold (all but kF8E4M3), and names of those that we do
// not.
std::uint32_t GgmlTypeNumber(DataType type);
std::optional<DataType> DataTypeOfGgml(std::uint32_t number);
std::string GgmlTypeText(std::uint32_t number);  // "q2_k (10)", or the number alone

// tokenizer.ggml.token_type.
enum class GgufTokenType : std::int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

}  // namespace cloister::model
