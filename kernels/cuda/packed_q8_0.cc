#include "kernels/cuda/packed_q8_0.h"

#include <cstring>

#include "base/check.h"

namespace cloister::kernels::cuda {

PackedQ8_0 Pack(const model::TensorView& weight) {
  CLOISTER_CHECK(weight.type == model::DataType::kQ8_0);
  constexpr std::int64_t kBlock = 32;
  PackedQ8_0 packed;
  packed.rows = weight.rows();
  packed.columns = weight.row_elements();
  const std::int64_t blocks = packed.columns / kBlock;
  packed.scale_stride = (blocks + 7) / 8 * 8;
  packed.values.resize(static_cast<std::size_t>(packed.rows * packed.columns));
  packed.scales.resize(static_cast<std::size_t>(packed.rows * packed.scale_stride));
  for (std::int64_t r = 0; r < packed.rows; ++r) {
    for (std::int64_t b = 0; b < blocks; ++b) {
      const std::byte* from =
          weight.data.data() + r * weight.row_bytes() + b * model::BlockBytes(weight.type);
      std::memcpy(&packed.scales[static_cast<std::size_t>(r * packed.scale_stride + b)], from, 2);
      std::memcpy(packed.values.data() + r * packed.columns + b * kBlock, from + 2, kBlock);
    }
  }
  return packed;
}

}  // namespace cloister::kernels::cuda
