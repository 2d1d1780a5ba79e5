#pragma once

#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>

namespace cloister::dp::clipping {

// First in the backward function of an operator whose gradient autograd cannot follow, because it
// is computed by kernels of ours, in place or beside the graph. Throws c10::Error where a second
// derivative is asked for, which would be wrong without a word.
inline void RefuseSecondDerivative() {
  TORCH_CHECK(!at::GradMode::is_enabled(),
              "this operator has no second derivative: do not ask for a graph of its gradient");
}

}  // namespace cloister::dp::clipping
