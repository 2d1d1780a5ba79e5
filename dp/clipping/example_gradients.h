#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace cloister::dp::clipping {

// How the norms of a weight's per-example gradients are taken.
//   kInstantiate  build each example's rows x columns gradient in fp64 and keep it until it is
//   summed kGram         from the two tokens x tokens Gram matrices; the gradient is built when it
//   is summed kCheapest     Gram where tokens * (rows + columns) < rows * columns: then it needs
//   fewer
//                 multiply-adds for the norm and less memory until the sum
enum class NormMethod { kCheapest, kInstantiate, kGram };

// The per-example gradients G_b = sum over t of left[b,t] right[b,t]^T of one weight, computed in
// fp64 from fp32 factors left [batch, tokens, rows] and right [batch, tokens, columns]. No two
// examples meet in any operation but AddClipped's sum.
class ExampleGradients {
 public:
  ExampleGradients(const at::Tensor& left, const at::Tensor& right, NormMethod method);

  // fp64 [batch], as computed: may be off, and with kGram even negative, by slack() at most.
  const at::Tensor& squared_norms() const { return squared_norms_; }
  // fp64 [batch]: eta^2 (sum over t of ‖left_t‖ ‖right_t‖)^2 with |squared_norms() - ‖G_b‖^2| below
  // it, for the exact G_b and for the one that AddClipped computes (docs/design/0005-clipping.md).
  const at::Tensor& slack() const { return slack_; }

  // sum += sum over b of factors[b] * G_b. `factors` fp64 [batch]; a zero drops the example
  // whatever its values are. `sum` fp64, contiguous, rows * columns elements.
  void AddClipped(const at::Tensor& factors, at::Tensor sum) const;

  // eta^2 for given sizes.
  static double EtaSquared(std::int64_t tokens, std::int64_t rows, std::int64_t columns);

 private:
  at::Tensor left_, right_;  // kept for kGram only
  at::Tensor gradients_;     // fp64 [batch, rows, columns], for kInstantiate only
  at::Tensor squared_norms_, slack_;
};

}  // namespace cloister::dp::clipping
