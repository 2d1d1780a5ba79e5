#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/tensor.h"
#include "trainer/networks/compute_options.h"

namespace cloister::trainer {

// A frozen matrix [rows, columns] that is kept in blocks of 4 or 8 bits and becomes numbers where a
// product needs it, a tile at a time. Immutable and thread-safe.
class BlockMatrix {
 public:
  // Whether rows of so many columns are whole blocks of any of the formats.
  static bool Holds(std::int64_t columns) { return columns % 32 == 0; }

  // The tensors [.., columns], one below the other, which must be finite. What is stored as Q4_0
  // already, or as Q8_0 where that is asked for, keeps its very blocks; all else is quantized to
  // `format`: from what its stored numbers are, and NF4 to Q4_0 where rows are no whole blocks of
  // it. kInvalidArgument, naming the tensor, for weights that `format` has no scale for.
  static base::Result<BlockMatrix> Quantize(const std::vector<std::string>& names,
                                            const std::vector<model::TensorView>& tensors,
                                            BaseWeights format);

  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }
  std::int64_t bytes() const;

  // The rows from `first` on, fp32 or bfloat16 [count, columns].
  at::Tensor Rows(std::int64_t first, std::int64_t count, at::ScalarType type) const;
  // Rows ids[i], for ids i64 of any shape: [.., columns].
  at::Tensor Lookup(const at::Tensor& ids, at::ScalarType type) const;

 private:
  // Rows of one format.
  struct Piece {
    BaseWeights format{};
    std::int64_t rows = 0;
    std::vector<std::byte> blocks;
  };
  explicit BlockMatrix(std::int64_t columns) : columns_(columns) {}

  // What lies from row `first` on, contiguous.
  template <typename T>
  void Dequantize(std::int64_t first, std::int64_t count, T* to) const;

  std::int64_t rows_ = 0, columns_ = 0;
  std::vector<Piece> pieces_;
};

}  // namespace cloister::trainer
