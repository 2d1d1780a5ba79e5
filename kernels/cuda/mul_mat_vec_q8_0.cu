// Matrix times vector in Q8_0, for decoding one token: each weight is read once and used once, so
// the kernel's work is to keep enough bytes of weights under way. A warp has two rows; in a step
// each lane copies 16 weights of each row to shared memory, three steps ahead of their use, and
// multiplies them by four dp4a a row. The block's four warps share the activations.
// docs/design/0003-cuda-without-a-gpu.md derives the occupancy.

#include "kernels/cuda/mul_mat_vec_q8_0.h"
#include "kernels/emulator/device.h"

namespace cloister::kernels::cuda {
namespace {

using Shape = MulMatVecQ8_0Shape;

// 16 int8 as a GPU loads them at once.
struct alignas(16) Chunk {
  std::int32_t words[4];
};

constexpr int kChunks = Shape::kTile / 16;      // of a row in a step: one a lane
constexpr int kTileBlocks = Shape::kTile / 32;  // scales of a row in a step

struct Stage {
  Chunk weights[Shape::kRowsPerBlock][kChunks];
  Chunk input[kChunks];
  alignas(16) std::uint16_t scales[Shape::kRowsPerBlock][kTileBlocks];
  alignas(16) float input_scales[kTileBlocks];
};

struct SharedMemory {
  Stage stages[Shape::kStages];
};

// Starts this thread's copies of step `tile`. What lies outside of the matrix is neither copied
// here nor read in Multiply.
CLOISTER_DEVICE void StartCopies(const device::Thread& thread, const MulMatVecQ8_0Arguments& a,
                                 std::int64_t tile, Stage& stage) {
  const int warp = thread.thread() / 32;
  const int lane = thread.thread() % 32;
  const std::int64_t first_row = static_cast<std::int64_t>(thread.block()) * Shape::kRowsPerBlock;
  const std::int64_t column = tile * Shape::kTile + lane * 16;
  if (column < a.columns) {
    for (int i = 0; i < Shape::kRowsPerWarp; ++i) {
      const int row = warp * Shape::kRowsPerWarp + i;
      if (first_row + row < a.rows) {
        thread.CopyAsync16(&stage.weights[row][lane],
                           a.values + (first_row + row) * a.columns + column);
      }
    }
    if (warp == 0) thread.CopyAsync16(&stage.input[lane], a.input_values + column);
  }
  // Scales: 8 rows of 2 chunks by one warp, 4 chunks of the input's by another.
  const std::int64_t first_block = tile * kTileBlocks;
  const std::int64_t blocks = a.columns / 32;
  if (warp == 1 && lane < 2 * Shape::kRowsPerBlock) {
    const int row = lane / 2;
    const std::int64_t block = first_block + lane % 2 * 8;
    if (block < blocks && first_row + row < a.rows) {
      thread.CopyAsync16(&stage.scales[row][lane % 2 * 8],
                         a.scales + (first_row + row) * a.scale_stride + block);
    }
  }
  if (warp == 2 && lane < kTileBlocks / 4 && first_block + lane * 4 < blocks) {
    thread.CopyAsync16(&stage.input_scales[lane * 4], a.input_scales + first_block + lane * 4);
  }
}

CLOISTER_DEVICE std::int32_t Dot16(const Chunk& a, const Chunk& b) {
  std::int32_t sum = 0;
  for (int i = 0; i < 4; ++i) sum = device::DotProduct4(a.words[i], b.words[i], sum);
  return sum;
}

CLOISTER_DEVICE void Multiply(const device::Thread& thread, const MulMatVecQ8_0Arguments& a,
                              std::int64_t tile, const Stage& stage,
                              float (&sums)[Shape::kRowsPerWarp]) {
  const int lane = thread.thread() % 32;
  if (tile * Shape::kTile + lane * 16 >= a.columns) return;
  const Chunk input = stage.input[lane];
  const float input_scale = stage.input_scales[lane / 2];
  for (int i = 0; i < Shape::kRowsPerWarp; ++i) {
    const int row = thread.thread() / 32 * Shape::kRowsPerWarp + i;
    const Chunk weights = stage.weights[row][lane];
    const float scale = device::HalfToFloat(stage.scales[row][lane / 2]) * input_scale;
    sums[i] += scale * static_cast<float>(Dot16(weights, input));
  }
}

CLOISTER_DEVICE void MulMatVecQ8_0(const device::Thread& thread, const MulMatVecQ8_0Arguments& a) {
  SharedMemory& shared = thread.Shared<SharedMemory>();
  const std::int64_t tiles = (a.columns + Shape::kTile - 1) / Shape::kTile;
  for (int tile = 0; tile < Shape::kStages - 1; ++tile) {
    if (tile < tiles) StartCopies(thread, a, tile, shared.stages[tile]);
    thread.CommitCopies();
  }
  float sums[Shape::kRowsPerWarp] = {};
  for (std::int64_t tile = 0; tile < tiles; ++tile) {
    thread.WaitCopies<Shape::kStages - 2>();
    // Behind it this step's copies of all threads are there, and everybody has left the stage that
    // is filled next.
    thread.Barrier();
    const std::int64_t ahead = tile + Shape::kStages - 1;
    if (ahead < tiles) StartCopies(thread, a, ahead, shared.stages[ahead % Shape::kStages]);
    thread.CommitCopies();
    Multiply(thread, a, tile, shared.stages[tile % Shape::kStages], sums);
  }
  for (int i = 0; i < Shape::kRowsPerWarp; ++i) {
    float sum = sums[i];
    for (int mask = 16; mask > 0; mask /= 2) sum += thread.ShuffleXor(sum, mask);
    const std::int64_t row = static_cast<std::int64_t>(thread.block()) * Shape::kRowsPerBlock +
                             thread.thread() / 32 * Shape::kRowsPerWarp + i;
    if (thread.thread() % 32 == 0 && row < a.rows) a.output[row] = sum;
  }
}

}  // namespace
}  // namespace cloister::kernels::cuda

#if defined(__CUDACC__)
extern "C" __global__ void __launch_bounds__(
    cloister::kernels::cuda::MulMatVecQ8_0Shape::kThreads,
    cloister::kernels::cuda::MulMatVecQ8_0Shape::kBlocksPerSm)
    cloister_mul_mat_vec_q8_0(const cloister::kernels::cuda::MulMatVecQ8_0Arguments arguments) {
  cloister::kernels::cuda::MulMatVecQ8_0(cloister::kernels::device::Thread(), arguments);
}
#endif
