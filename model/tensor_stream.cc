#include "model/tensor_stream.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/check.h"

namespace cloister::model {
namespace {

using base::Code;

constexpr std::int64_t kChunkElements = std::int64_t{1} << 20;
constexpr float kLargestHalf = 65504.0f;  // block scales are halves too

base::Status CheckRange(const std::string& name, DataType type, std::span<const float> values) {
  const bool wide = type == DataType::kF32 || type == DataType::kBF16;
  for (const float value : values) {
    if (!std::isfinite(value)) {
      return base::Fail(Code::kDataLoss, "tensor " + name +
                                             " holds a value that is not finite: the model is "
                                             "damaged or its training diverged");
    }
    if (!wide && std::fabs(value) > kLargestHalf) {
      return base::Fail(Code::kDataLoss, "tensor " + name + " holds a value beyond the range of " +
                                             std::string(DataTypeName(type)) +
                                             ": keep the model in bf16 or f32 (cloister model "
                                             "convert)");
    }
  }
  return {};
}

}  // namespace

base::Status StreamTensor(const std::string& name, const TensorView& tensor,
                          const RowStream& stream, TensorSink& sink) {
  const std::int64_t columns = tensor.row_elements();
  CLOISTER_CHECK(columns % BlockSize(stream.type) == 0);
  const std::int64_t row_bytes = columns / BlockSize(stream.type) * BlockBytes(stream.type);
  const std::int64_t chunk_rows = std::max<std::int64_t>(1, kChunkElements / columns);
  const bool copied = stream.type == tensor.type && !stream.change;
  std::vector<float> values(static_cast<std::size_t>(columns));
  std::vector<std::byte> chunk(static_cast<std::size_t>(chunk_rows * row_bytes));
  for (std::int64_t first = 0; first < tensor.rows(); first += chunk_rows) {
    const std::int64_t count = std::min(chunk_rows, tensor.rows() - first);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t row = stream.source_row ? stream.source_row(first + i) : first + i;
      const std::byte* from = tensor.data.data() + row * tensor.row_bytes();
      std::byte* to = chunk.data() + i * row_bytes;
      if (copied) {
        std::memcpy(to, from, static_cast<std::size_t>(row_bytes));
        continue;
      }
      Dequantize(tensor.type, from, values.data(), columns);
      if (stream.change) stream.change(row, values);
      CLOISTER_RETURN_IF_ERROR(CheckRange(name, stream.type, values));
      Quantize(stream.type, values.data(), to, columns);
    }
    CLOISTER_RETURN_IF_ERROR(
        sink.Write(std::span(chunk).first(static_cast<std::size_t>(count * row_bytes))));
  }
  return {};
}

}  // namespace cloister::model
