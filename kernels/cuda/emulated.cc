// The kernel's own source, compiled for the CPU.
#include "base/check.h"
#include "kernels/cuda/mul_mat_vec_q8_0.cu"
#include "kernels/cuda/packed_q8_0.h"

namespace cloister::kernels::cuda {

base::Result<std::vector<float>> EmulateMulMatVecQ8_0(const PackedQ8_0& weight,
                                                      const std::vector<std::int8_t>& input_values,
                                                      const std::vector<float>& input_scales) {
  CLOISTER_CHECK(static_cast<std::int64_t>(input_values.size()) == weight.columns);
  CLOISTER_CHECK(static_cast<std::int64_t>(input_scales.size()) >= weight.columns / 32 &&
                 input_scales.size() % 4 == 0);
  std::vector<float> output(static_cast<std::size_t>(weight.rows));
  const MulMatVecQ8_0Arguments arguments = {
      weight.values.data(), weight.scales.data(), weight.scale_stride, weight.rows,
      weight.columns,       input_values.data(),  input_scales.data(), output.data()};
  CLOISTER_RETURN_IF_ERROR(
      device::Launch(static_cast<int>(Shape::Blocks(weight.rows)), Shape::kThreads,
                     [&](const device::Thread& thread) { MulMatVecQ8_0(thread, arguments); }));
  return output;
}

}  // namespace cloister::kernels::cuda
