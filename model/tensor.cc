#include "model/tensor.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstring>
#include <functional>
#include <numeric>

#include "base/check.h"

namespace cloister::model {
namespace {

using base::Code;

struct TypeTraits {
  std::string_view name;
  std::int64_t block_size;
  std::int64_t block_bytes;
};

// In the order of DataType.
constexpr std::array<TypeTraits, kAllDataTypes.size()> kTraits = {{
    {"f32", 1, 4},
    {"f16", 1, 2},
    {"bf16", 1, 2},
    {"q8_0", 32, 34},
    {"q4_0", 32, 18},
    {"q4_1", 32, 20},
    {"q5_0", 32, 22},
    {"q5_1", 32, 24},
    {"q4_k", 256, 144},
    {"q5_k", 256, 176},
    {"q6_k", 256, 210},
    {"f8_e4m3", 1, 1},
}};

constexpr char kWritable[] = "use f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q5_k or q6_k";

const TypeTraits& Traits(DataType type) {
  const auto index = static_cast<std::size_t>(type);
  CLOISTER_CHECK(index < kTraits.size());
  return kTraits[index];
}

// Names that people know from other programs and that this one does not write.
bool IsKnownElsewhere(std::string_view name) {
  static constexpr std::array<std::string_view, 8> kNames = {"q2_k",  "q3_k",    "q8_k",  "q8_1",
                                                             "mxfp4", "f8_e4m3", "tq1_0", "tq2_0"};
  return name.starts_with("iq") || name.ends_with("_k_s") || name.ends_with("_k_m") ||
         name.ends_with("_k_l") || std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

}  // namespace

std::string_view DataTypeName(DataType type) { return Traits(type).name; }
std::int64_t BlockSize(DataType type) { return Traits(type).block_size; }
std::int64_t BlockBytes(DataType type) { return Traits(type).block_bytes; }
bool IsBlockType(DataType type) { return BlockSize(type) > 1; }

base::Result<DataType> ParseDataType(std::string_view name) {
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const DataType type : kAllDataTypes) {
    if (DataTypeName(type) == lower && type != DataType::kF8E4M3) return type;
  }
  if (IsKnownElsewhere(lower)) {
    return base::Fail(Code::kUnimplemented,
                      "type " + lower + " cannot be written: " + std::string(kWritable));
  }
  return base::Fail(Code::kInvalidArgument,
                    "unknown type '" + std::string(name) + "': " + kWritable);
}

DataType TypeForRows(DataType type, std::int64_t columns) {
  if (columns % BlockSize(type) == 0) return type;
  if (columns % 32 != 0) return DataType::kF16;
  if (type == DataType::kQ4_K) return DataType::kQ5_0;
  return type == DataType::kQ5_K ? DataType::kQ5_1 : DataType::kQ8_0;
}

float BlockScales::at(std::int64_t row_block, std::int64_t column_block,
                      std::int64_t column_blocks) const {
  float scale;
  const std::int64_t index = row_block * column_blocks + column_block;
  std::memcpy(&scale, data.data() + index * std::int64_t{sizeof scale}, sizeof scale);
  return scale;
}

std::int64_t TensorDescription::elements() const {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

std::uint64_t TensorDescription::bytes() const {
  return static_cast<std::uint64_t>(elements() / BlockSize(type) * BlockBytes(type));
}

std::int64_t TensorView::elements() const {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

TensorView Slice(const TensorView& tensor, std::int64_t index) {
  CLOISTER_CHECK(tensor.shape.size() >= 2 && index >= 0 && index < tensor.shape[0] &&
                 tensor.scales.data.empty());
  TensorView part;
  part.type = tensor.type;
  part.shape.assign(tensor.shape.begin() + 1, tensor.shape.end());
  const auto bytes = static_cast<std::size_t>(part.rows() * part.row_bytes());
  part.data = tensor.data.subspan(static_cast<std::size_t>(index) * bytes, bytes);
  part.owned = tensor.owned;
  return part;
}

base::Result<TensorView> WithScales(const std::string& name, TensorView weight,
                                    const TensorView& scales, std::int64_t block_rows,
                                    std::int64_t block_columns) {
  CLOISTER_CHECK(block_rows > 0 && block_columns > 0);
  const auto fail = [&](Code code, const std::string& what) {
    return base::Fail(code, "the scales of tensor " + name + " " + what +
                                ": fetch the model again, or use a copy of it in bf16");
  };
  if (weight.type != DataType::kF8E4M3 || weight.shape.size() != 2) {
    return fail(Code::kDataLoss, "belong to no f8_e4m3 matrix");
  }
  const bool halves = scales.type == DataType::kBF16 || scales.type == DataType::kF16;
  if (scales.type != DataType::kF32 && !halves) {
    return fail(Code::kUnimplemented,
                "are " + std::string(DataTypeName(scales.type)) + " and not f32, f16 or bf16");
  }
  const std::int64_t rows = (weight.shape[0] + block_rows - 1) / block_rows;
  const std::int64_t columns = (weight.shape[1] + block_columns - 1) / block_columns;
  const bool single = rows * columns == 1 && scales.elements() == 1;
  if (!single && scales.shape != std::vector<std::int64_t>{rows, columns}) {
    return fail(Code::kDataLoss, "have another shape than " + std::to_string(rows) + " x " +
                                     std::to_string(columns) + " blocks");
  }
  weight.scales = {scales.data, block_rows, block_columns};
  if (halves) {
    const std::vector<float> wide = ToFloat(scales);
    const auto bytes = std::as_bytes(std::span(wide));
    weight.owned = std::make_shared<const std::vector<std::byte>>(bytes.begin(), bytes.end());
    weight.scales.data = *weight.owned;
  }
  for (std::int64_t i = 0; i < rows * columns; ++i) {
    if (!std::isfinite(weight.scales.at(0, i, columns))) {
      return fail(Code::kDataLoss, "hold a value that is not finite");
    }
  }
  return weight;
}

void DequantizeRows(const TensorView& tensor, std::int64_t first, std::int64_t count, float* to) {
  const std::int64_t columns = tensor.row_elements();
  Dequantize(tensor.type, tensor.data.data() + first * tensor.row_bytes(), to, count * columns);
  const BlockScales& scales = tensor.scales;
  if (scales.data.empty()) return;
  const std::int64_t blocks = (columns + scales.columns - 1) / scales.columns;
  for (std::int64_t row = first; row < first + count; ++row) {
    for (std::int64_t block = 0; block < blocks; ++block) {
      const float scale = scales.at(row / scales.rows, block, blocks);
      const std::int64_t begin = block * scales.columns;
      const std::int64_t end = std::min(begin + scales.columns, columns);
      float* values = to + (row - first) * columns;
      for (std::int64_t i = begin; i < end; ++i) values[i] *= scale;
    }
  }
}

std::vector<float> ToFloat(const TensorView& tensor) {
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  DequantizeRows(tensor, 0, tensor.rows(), values.data());
  return values;
}

}  // namespace cloister::model
