#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace cloister::dp::clipping {

// Told, during a backward pass over the examples of one privacy unit, what the gradients of the
// trainable parameters are made of. Every row t of every tensor belongs to that unit: a token of
// one of its examples. Rows may be left out where they are zero (an expert sees its own tokens
// alone), and a parameter that nothing depends on is not told of. Tensors are fp32 or narrower, as
// they entered the arithmetic, on any device, all of a call on one; an observer may hold on to them
// until the unit ends, so their values must stay as they were told.
class GradientObserver {
 public:
  virtual ~GradientObserver() = default;

  // Of a matrix [rows, columns]: sum over t of left[t] right[t]^T, for left [tokens, rows] and
  // right [tokens, columns].
  virtual void ObserveMatrix(std::int64_t parameter, const at::Tensor& left,
                             const at::Tensor& right) = 0;
  // Of a matrix [rows, columns] that is read row by row: values[t] is added to row ids[t], for ids
  // i64 [tokens] and values [tokens, columns].
  virtual void ObserveLookup(std::int64_t parameter, const at::Tensor& ids,
                             const at::Tensor& values) = 0;
  // Of a vector: sum over t of values[t], for values [tokens, rows].
  virtual void ObserveVector(std::int64_t parameter, const at::Tensor& values) = 0;
};

}  // namespace cloister::dp::clipping
