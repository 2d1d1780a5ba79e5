#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "kernels/cuda/mul_mat_vec_q8_0.h"
#include "model/tensor.h"

namespace cloister::kernels::cuda {

// A Q8_0 matrix as the GPU's kernels read it: the same numbers, values and scales apart, each row
// of scales padded with zeros to 16 bytes.
struct PackedQ8_0 {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t scale_stride = 0;
  std::vector<std::int8_t> values;    // [rows, columns]
  std::vector<std::uint16_t> scales;  // [rows, scale_stride], fp16
};

// `weight` is [rows, columns] of type Q8_0.
PackedQ8_0 Pack(const model::TensorView& weight);

// Runs the CUDA kernel's source on the CPU. `input_values` holds `weight.columns` int8,
// `input_scales` their scales, padded to a multiple of 4; both start on 16 bytes, as the allocator
// gives them. Errors: the emulator's.
base::Result<std::vector<float>> EmulateMulMatVecQ8_0(const PackedQ8_0& weight,
                                                      const std::vector<std::int8_t>& input_values,
                                                      const std::vector<float>& input_scales);

}  // namespace cloister::kernels::cuda
