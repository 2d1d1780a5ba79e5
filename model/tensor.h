#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cloister::model {

// Storage types of weights. Block types are GGUF's (ggml block layout, 32 weights a block):
//   kQ8_0  fp16 scale, 32 x int8                     34 bytes
//   kQ4_0  fp16 scale, 16 bytes of nibbles           18 bytes (weight = (nibble - 8) * scale)
//   kQ4_1  fp16 scale, fp16 min, 16 bytes of nibbles 20 bytes
enum class DataType { kF32, kF16, kBF16, kQ8_0, kQ4_0, kQ4_1 };

std::string_view DataTypeName(DataType type);
// Accepts the command line's spellings: f32 f16 bf16 q8_0 q4_0 q4_1, in any case.
base::Result<DataType> ParseDataType(std::string_view name);
std::int64_t BlockSize(DataType type);   // weights a block: 1 for float types, 32 for Q*
std::int64_t BlockBytes(DataType type);  // bytes a block

// A read-only tensor in somebody else's memory (a mapped file): row-major, `shape` outermost first
// (Hugging Face's order: a linear layer is [out, in]), rows of whole blocks.
// `data` may lie at any address: files need not align their tensors, so copy, never cast.
struct TensorView {
  DataType type = DataType::kF32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;

  std::int64_t elements() const;
  std::int64_t row_elements() const { return shape.empty() ? 1 : shape.back(); }
  std::int64_t rows() const { return elements() / row_elements(); }
  std::int64_t row_bytes() const { return row_elements() / BlockSize(type) * BlockBytes(type); }
};

// Dequantizes `count` weights (whole blocks) from `from` into `to`. Equal, bit for bit, to the
// `gguf` package's dequantization in fp32.
void Dequantize(DataType type, const std::byte* from, float* to, std::int64_t count);
// Quantizes `count` weights (whole blocks): Q8_0 and Q4_0 as ggml's reference rounding does, floats
// by round to nearest even.
void Quantize(DataType type, const float* from, std::byte* to, std::int64_t count);

// All of `tensor` in fp32.
std::vector<float> ToFloat(const TensorView& tensor);

float HalfToFloat(std::uint16_t half);
std::uint16_t FloatToHalf(float value);
float BFloat16ToFloat(std::uint16_t value);
std::uint16_t FloatToBFloat16(float value);

}  // namespace cloister::model
