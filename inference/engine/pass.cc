#include "inference/engine/pass.h"

namespace cloister::inference {
namespace cpu = kernels::cpu;

Pass::Pass(const model::Architecture& architecture, const cpu::Kernels& kernels, int threads,
           std::int64_t context, std::int64_t max_batch)
    : architecture_(architecture),
      kernels_(kernels),
      pool_(threads),
      rotation_(architecture, kernels, max_batch),
      score_stride_(context) {
  for (int i = 0; i < pool_.threads(); ++i) {
    const auto floats = static_cast<std::size_t>(kTokenGrain * context);
    scores_.push_back(std::make_unique_for_overwrite<float[]>(floats));
  }
}

void Pass::Linear(cpu::Activations& input, std::span<const Output> outputs) {
  std::vector<cpu::Product> products;
  products.reserve(outputs.size());
  for (const Output& output : outputs) {
    const model::TensorView& matrix = output.weights->matrix;
    products.push_back({&matrix, output.to, matrix.rows()});
  }
  cpu::Linear(kernels_, pool_, input, products);
  for (const Output& output : outputs) {
    const std::vector<float>& bias = output.weights->bias;
    const auto size = static_cast<std::int64_t>(bias.size());
    if (size == 0) continue;
    for (std::int64_t t = 0; t < input.tokens(); ++t) {
      kernels_.axpy(1.0f, bias.data(), output.to + t * size, size);
    }
  }
}

}  // namespace cloister::inference
