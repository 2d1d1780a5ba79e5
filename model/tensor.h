#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cloister::model {

// Storage types of weights. Block types have ggml's layouts (ggml-common.h), little-endian:
//   kQ8_0  fp16 scale, 32 x int8                                  34 bytes for  32 weights
//   kQ4_0  fp16 scale, 32 x 4 bits       (level -  8) * scale     18
//   kQ4_1  fp16 scale, fp16 minimum, 32 x 4 bits                  20
//   kQ5_0  fp16 scale, 32 x 5 bits       (level - 16) * scale     22
//   kQ5_1  fp16 scale, fp16 minimum, 32 x 5 bits                  24
//   kQ4_K  two fp16, 8 x 6-bit scale and minimum, 256 x 4 bits   144 bytes for 256 weights
//   kQ5_K  the same with 5 bits                                  176
//   kQ6_K  256 x 6 bits, 16 x int8 scale, fp16                   210
// kF8E4M3 is OCP's e4m3fn (4 exponent bits, bias 7, 3 fraction bits, no infinities, NaN all ones),
// as DeepSeek-V3 ships it: read only, with the scales of TensorView::scales.
enum class DataType {
  kF32,
  kF16,
  kBF16,
  kQ8_0,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kF8E4M3,
};
inline constexpr std::array kAllDataTypes = {DataType::kF32,  DataType::kF16,  DataType::kBF16,
                                             DataType::kQ8_0, DataType::kQ4_0, DataType::kQ4_1,
                                             DataType::kQ5_0, DataType::kQ5_1, DataType::kQ4_K,
                                             DataType::kQ5_K, DataType::kQ6_K, DataType::kF8E4M3};

std::string_view DataTypeName(DataType type);  // f32, q4_k, f8_e4m3, …
// Accepts the command line's spellings of the types that can be written, in any case.
base::Result<DataType> ParseDataType(std::string_view name);
std::int64_t BlockSize(DataType type);   // weights a block: 1, 32 or 256
std::int64_t BlockBytes(DataType type);  // bytes a block
bool IsBlockType(DataType type);         // kQ*

// The type itself where rows of `columns` weights are whole blocks of it, or else what llama.cpp
// takes instead: Q5_0 for Q4_K, Q5_1 for Q5_K and Q8_0 for Q6_K, and F16 where they are no whole
// blocks of 32 either.
DataType TypeForRows(DataType type, std::int64_t columns);

// Scales of a kF8E4M3 matrix: one fp32 for each block of `rows` x `columns` weights (smaller at the
// right and lower edge), row-major. Weight = number * scale.
struct BlockScales {
  std::span<const std::byte> data;  // empty: all 1
  std::int64_t rows = 0;
  std::int64_t columns = 0;

  float at(std::int64_t row_block, std::int64_t column_block, std::int64_t column_blocks) const;
};

// What a tensor is, without its weights.
struct TensorDescription {
  DataType type = DataType::kF32;
  std::vector<std::int64_t> shape;

  std::int64_t elements() const;
  std::uint64_t bytes() const;  // without the scales of kF8E4M3
};

// A read-only tensor in somebody else's memory (a mapped file): row-major, `shape` outermost first
// (Hugging Face's order: a linear layer is [out, in]), rows of whole blocks.
// `data` may lie at any address: files need not align their tensors, so copy, never cast.
struct TensorView {
  DataType type = DataType::kF32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;
  BlockScales scales;  // kF8E4M3 of two dimensions alone
  // Where no file holds `data` or the scales: the memory that does, alive as long as a copy of this
  // view.
  std::shared_ptr<const std::vector<std::byte>> owned;

  std::int64_t elements() const;
  std::int64_t row_elements() const { return shape.empty() ? 1 : shape.back(); }
  std::int64_t rows() const { return row_elements() == 0 ? 0 : elements() / row_elements(); }
  std::int64_t row_bytes() const { return row_elements() / BlockSize(type) * BlockBytes(type); }
  // Row `row` of all rows().
  std::span<const std::byte> row(std::int64_t row) const {
    return data.subspan(static_cast<std::size_t>(row * row_bytes()),
                        static_cast<std::size_t>(row_bytes()));
  }
};

// Part `index` along the first dimension of a tensor of two or more: one expert of a stack
// [experts, out, in]. The same bytes, nothing is copied. The tensor has no scales.
TensorView Slice(const TensorView& tensor, std::int64_t index);

// Gives the kF8E4M3 matrix `weight` its `scales` (fp32, fp16 or bf16) [ceil(rows / block_rows),
// ceil(columns / block_columns)]; a single scale may have any shape of one element. kDataLoss,
// naming `name`, when the shapes do not fit or a scale is not finite; kUnimplemented for scales of
// another type.
base::Result<TensorView> WithScales(const std::string& name, TensorView weight,
                                    const TensorView& scales, std::int64_t block_rows,
                                    std::int64_t block_columns);

// Rows first … first + count - 1 of all rows(), scales applied, as fp32 into [count, columns].
void DequantizeRows(const TensorView& tensor, std::int64_t first, std::int64_t count, float* to);
inline void DequantizeRow(const TensorView& tensor, std::int64_t row, float* to) {
  DequantizeRows(tensor, row, 1, to);
}
// All of `tensor` in fp32.
std::vector<float> ToFloat(const TensorView& tensor);

// Dequantizes `count` weights (whole blocks) from `from` into `to`, kF8E4M3 without scales. Equal,
// bit for bit, to the `gguf` package's dequantization in fp32.
void Dequantize(DataType type, const std::byte* from, float* to, std::int64_t count);
// Quantizes `count` weights (whole blocks), any type but kF8E4M3: blocks of 32 to the bytes of
// ggml's reference rounding, floats by round to nearest even, blocks of 256 by a search for scales
// whose weighted squared error is no larger than that of ggml's reference.
void Quantize(DataType type, const float* from, std::byte* to, std::int64_t count);

float HalfToFloat(std::uint16_t half);
std::uint16_t FloatToHalf(float value);
float BFloat16ToFloat(std::uint16_t value);
std::uint16_t FloatToBFloat16(float value);
float Float8E4M3ToFloat(std::uint8_t value);

}  // namespace cloister::model
