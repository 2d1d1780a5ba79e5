#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "base/result.h"
#include "model/tensor.h"
#include "model/tensor_sink.h"

namespace cloister::model {

// How a tensor's rows go from one file to another.
struct RowStream {
  DataType type = DataType::kF32;  // of the output; the rows must be whole blocks of it
  // The input row that becomes output row i; the same row where empty.
  std::function<std::int64_t(std::int64_t)> source_row;
  // Changes an input row's values before they are stored; where empty, rows whose type stays are
  // copied bit for bit. Called from several threads at once, for different rows.
  std::function<void(std::int64_t row, std::span<float> values)> change;
};

// Writes `tensor` to `sink`, some rows in memory at a time (16 MiB, or a row for each processor),
// with all processors at work. kDataLoss, naming `name`, for a value that is not finite or beyond
// what the output type can hold. Parts of a tensor, such as the experts of a stack, may be streamed
// to one tensor of the sink one after another.
base::Status StreamTensor(const std::string& name, const TensorView& tensor,
                          const RowStream& stream, TensorSink& sink);

}  // namespace cloister::model
