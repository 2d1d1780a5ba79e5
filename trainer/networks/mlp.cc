#include "trainer/networks/mlp.h"

#include <ATen/ATen.h>

#include <vector>

#include "trainer/networks/frozen_linear.h"
#include "trainer/networks/operators.h"

namespace cloister::trainer {

at::Tensor Mlp(const MlpWeights& w, const at::Tensor& x, const LayerAdapter& adapter) {
  at::Tensor gate_up = adapter.weights().Linear(x, w.gate_up);
  if (adapter.Has(Target::kGate) || adapter.Has(Target::kUp)) {
    const std::vector<at::Tensor> halves = gate_up.chunk(2, -1);
    gate_up = at::cat(
        {adapter.Add(halves[0], x, Target::kGate), adapter.Add(halves[1], x, Target::kUp)}, -1);
  }
  const at::Tensor active = SwiGlu(gate_up);
  return adapter.Add(adapter.weights().Linear(active, w.down), active, Target::kDown);
}

}  // namespace cloister::trainer
