#include "inference/engine/mlp.h"

#include <array>

namespace cloister::inference {
namespace cpu = kernels::cpu;

Mlp::Mlp(Pass& pass, std::int64_t size, std::int64_t max_batch)
    : pass_(pass), gate_(static_cast<std::size_t>(max_batch * size)), up_(gate_.size()) {}

void Mlp::Run(const MlpWeights& weights, cpu::Activations& input, float* output) {
  const std::int64_t size = weights.gate.matrix.rows();
  const std::array<Pass::Output, 2> outputs = {
      {{&weights.gate, gate_.data()}, {&weights.up, up_.data()}}};
  pass_.Linear(input, outputs);
  gated_.Resize(input.tokens(), size);
  pass_.ForRows(input.tokens(), [&](std::int64_t t) {
    pass_.kernels().silu_multiply(gate_.data() + t * size, up_.data() + t * size, size,
                                  gated_.row(t));
  });
  pass_.Linear(gated_, weights.down, output);
}

}  // namespace cloister::inference
