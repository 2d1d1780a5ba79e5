#include "trainer/networks/block_matrix.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <span>
#include <utility>

#include "base/check.h"
#include "model/finite.h"
#include "trainer/networks/block_kernels.h"
#include "trainer/networks/nf4.h"
#include "trainer/networks/row_tensors.h"

namespace cloister::trainer {
namespace {

using model::DataType;

struct Layout {
  std::int64_t numbers;
  std::int64_t bytes;
};

Layout LayoutOf(BaseWeights format) {
  switch (format) {
    case BaseWeights::kQ8_0:
      return {model::BlockSize(DataType::kQ8_0), model::BlockBytes(DataType::kQ8_0)};
    case BaseWeights::kQ4_0:
      return {model::BlockSize(DataType::kQ4_0), model::BlockBytes(DataType::kQ4_0)};
    case BaseWeights::kNf4:
      return {kNf4Block, kNf4Bytes};
    case BaseWeights::kDense:
      break;
  }
  base::CheckFailed(__FILE__, __LINE__, "a format without blocks");
}

template <typename T>
typename BlockKernels<T>::Dequantize KernelOf(BaseWeights format) {
  const BlockKernels<T>& kernels = BestBlockKernels<T>();
  if (format == BaseWeights::kNf4) return kernels.nf4;
  return format == BaseWeights::kQ4_0 ? kernels.q4_0 : kernels.q8_0;
}

// Whether blocks of `stored` stay as they are.
bool Keeps(DataType stored, BaseWeights format) {
  return stored == DataType::kQ4_0 || (stored == DataType::kQ8_0 && format == BaseWeights::kQ8_0);
}

void QuantizeNumbers(BaseWeights format, std::span<const float> from, std::byte* to) {
  if (format == BaseWeights::kNf4) return QuantizeNf4(from, to);
  model::Quantize(format == BaseWeights::kQ4_0 ? DataType::kQ4_0 : DataType::kQ8_0, from.data(), to,
                  static_cast<std::int64_t>(from.size()));
}

std::vector<std::byte> Quantized(const model::TensorView& tensor, BaseWeights format) {
  const auto [numbers, bytes] = LayoutOf(format);
  const std::int64_t columns = tensor.row_elements(), row_bytes = columns / numbers * bytes;
  std::vector<std::byte> blocks(static_cast<std::size_t>(tensor.rows() * row_bytes));
  ForRows(tensor.rows(), columns, [&](std::int64_t first, std::int64_t count) {
    std::vector<float> row(static_cast<std::size_t>(columns));
    for (std::int64_t i = first; i < first + count; ++i) {
      model::DequantizeRow(tensor, i, row.data());
      QuantizeNumbers(format, row, blocks.data() + i * row_bytes);
    }
  });
  return blocks;
}

// Whether the blocks' scales, halves, hold what they should.
bool ScalesFit(BaseWeights format, const model::TensorView& tensor,
               std::span<const std::byte> blocks) {
  if (format == BaseWeights::kNf4) return true;
  model::TensorView view;
  view.type = format == BaseWeights::kQ4_0 ? DataType::kQ4_0 : DataType::kQ8_0;
  view.shape = tensor.shape;
  view.data = blocks;
  return model::AllFinite(view);
}

}  // namespace

base::Result<BlockMatrix> BlockMatrix::Quantize(const std::vector<std::string>& names,
                                                const std::vector<model::TensorView>& tensors,
                                                BaseWeights format) {
  CLOISTER_CHECK(!tensors.empty() && names.size() == tensors.size());
  BlockMatrix matrix(tensors[0].row_elements());
  CLOISTER_CHECK(Holds(matrix.columns_));
  if (matrix.columns_ % LayoutOf(format).numbers != 0) format = BaseWeights::kQ4_0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const model::TensorView& tensor = tensors[i];
    CLOISTER_CHECK(tensor.row_elements() == matrix.columns_);
    Piece piece = {format, tensor.rows(), {}};
    if (Keeps(tensor.type, format)) {
      piece.format = tensor.type == DataType::kQ4_0 ? BaseWeights::kQ4_0 : BaseWeights::kQ8_0;
      piece.blocks.assign(tensor.data.begin(), tensor.data.end());
    } else {
      piece.blocks = Quantized(tensor, format);
      if (!ScalesFit(format, tensor, piece.blocks)) {
        return base::Fail(base::Code::kInvalidArgument,
                          names[i] + " has weights that are too large for blocks of " +
                              (format == BaseWeights::kQ4_0 ? "q4_0" : "q8_0") +
                              ": use quantization nf4, or none");
      }
    }
    matrix.rows_ += piece.rows;
    matrix.pieces_.push_back(std::move(piece));
  }
  return matrix;
}

std::int64_t BlockMatrix::bytes() const {
  std::size_t bytes = 0;
  for (const Piece& piece : pieces_) bytes += piece.blocks.size();
  return static_cast<std::int64_t>(bytes);
}

template <typename T>
void BlockMatrix::Dequantize(std::int64_t first, std::int64_t count, T* to) const {
  for (const Piece& piece : pieces_) {
    if (count == 0) return;
    if (first >= piece.rows) {
      first -= piece.rows;
      continue;
    }
    const auto [numbers, bytes] = LayoutOf(piece.format);
    const std::int64_t rows = std::min(count, piece.rows - first), in_row = columns_ / numbers;
    KernelOf<T>(piece.format)(piece.blocks.data() + first * in_row * bytes, rows * in_row, to);
    to += rows * columns_;
    count -= rows;
    first = 0;
  }
}

at::Tensor BlockMatrix::Rows(std::int64_t first, std::int64_t count, at::ScalarType type) const {
  CLOISTER_CHECK(first >= 0 && count >= 0 && first + count <= rows_);
  at::Tensor rows = at::empty({count, columns_}, at::TensorOptions(type));
  WithRowType(type, [&]<typename T>(T) {
    T* const to = Write<T>(rows);
    ForRows(count, columns_, [&](std::int64_t begin, std::int64_t some) {
      Dequantize(first + begin, some, to + begin * columns_);
    });
  });
  return rows;
}

at::Tensor BlockMatrix::Lookup(const at::Tensor& ids, at::ScalarType type) const {
  std::vector<std::int64_t> shape = ids.sizes().vec();
  shape.push_back(columns_);
  const at::Tensor flat = ids.contiguous();
  const auto* const id = flat.const_data_ptr<std::int64_t>();
  at::Tensor found = at::empty(shape, at::TensorOptions(type));
  WithRowType(type, [&]<typename T>(T) {
    T* const to = Write<T>(found);
    for (std::int64_t i = 0; i < flat.numel(); ++i) {
      CLOISTER_CHECK(id[i] >= 0 && id[i] < rows_);
      Dequantize(id[i], 1, to + i * columns_);
    }
  });
  return found;
}

}  // namespace cloister::trainer
