#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>

#include "base/check.h"
#include "trainer/networks/row_kernels.h"

namespace cloister::trainer {

// How tensors are handed to row kernels, inside trainer/networks/ only.

// Calls body(T()) with the kernels' T for the tensor type, which must be fp32 or bfloat16.
template <typename Body>
void WithRowType(at::ScalarType type, const Body& body) {
  CLOISTER_CHECK(type == at::kFloat || type == at::kBFloat16);
  if (type == at::kFloat) {
    body(float());
  } else {
    body(Bf16());
  }
}

template <typename T>
const T* Read(const at::Tensor& tensor) {
  return static_cast<const T*>(tensor.const_data_ptr());
}
template <typename T>
T* Write(const at::Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}

// Calls body(first, count) for pieces of `rows` rows of `size` numbers, on LibTorch's threads where
// there is enough to do. What becomes of a row does not depend on its piece.
template <typename Body>
void ForRows(std::int64_t rows, std::int64_t size, const Body& body) {
  constexpr std::int64_t kGrain = 1 << 15;
  at::parallel_for(0, rows, std::max<std::int64_t>(1, kGrain / size),
                   [&](std::int64_t begin, std::int64_t end) { body(begin, end - begin); });
}

}  // namespace cloister::trainer
