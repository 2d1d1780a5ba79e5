#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "dp/clipping/gradient_observer.h"

namespace cloister::dp::clipping {

// An observer, or none, as the integer that travels through autograd's context, which stores no
// plain pointers.
inline std::int64_t HandleOf(GradientObserver* observer) {
  return reinterpret_cast<std::int64_t>(observer);
}
inline GradientObserver* ObserverOf(std::int64_t handle) {
  return reinterpret_cast<GradientObserver*>(handle);
}

// [.., n] as [tokens, n]: the rows that an observer is told of.
inline at::Tensor TokenRows(const at::Tensor& tensor) {
  return tensor.reshape({-1, tensor.size(-1)});
}

}  // namespace cloister::dp::clipping
