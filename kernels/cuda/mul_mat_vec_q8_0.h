#pragma once

#include <cstdint>

namespace cloister::kernels::cuda {

// output[r] = sum over c of weights[r, c] * input[c], weights and input in blocks of 32 int8 with a
// scale each. Read by the GPU, so plain pointers and numbers; arrays start on 16 bytes.
//
// Weights are not the file's 34-byte blocks, which no wide load fits, but packed when they go to
// the GPU: values in one array, scales in another (packed_q8_0.h).
struct MulMatVecQ8_0Arguments {
  const std::int8_t* values;    // [rows, columns]
  const std::uint16_t* scales;  // [rows, scale_stride], fp16
  std::int64_t scale_stride;    // columns / 32, rounded up to a multiple of 8
  std::int64_t rows;
  std::int64_t columns;             // a multiple of 32
  const std::int8_t* input_values;  // [columns]
  const float* input_scales;        // [columns / 32, rounded up to a multiple of 4]
  float* output;                    // [rows]
};

// How the kernel is launched: ceil(rows / kRowsPerBlock) blocks of kThreads.
struct MulMatVecQ8_0Shape {
  static constexpr int kThreads = 128;
  static constexpr int kWarps = kThreads / 32;
  static constexpr int kRowsPerWarp = 2;
  static constexpr int kRowsPerBlock = kWarps * kRowsPerWarp;
  static constexpr int kTile = 512;       // columns a step: 16 a lane
  static constexpr int kStages = 4;       // steps in shared memory, three of them under way
  static constexpr int kBlocksPerSm = 8;  // what registers must leave room for

  static constexpr std::int64_t Blocks(std::int64_t rows) {
    return (rows + kRowsPerBlock - 1) / kRowsPerBlock;
  }
};

}  // namespace cloister::kernels::cuda
