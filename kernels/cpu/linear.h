#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/thread_pool.h"
#include "model/tensor.h"

namespace cloister::kernels::cpu {

// Rows of activations that linear layers read, [tokens, columns] in fp32, and the rounded forms
// that their weights want, which Linear makes when they are first needed. Memory is kept from one
// batch to the next.
class Activations {
 public:
  // Makes room and forgets the rounded forms; row(t) may then be written by different threads for
  // different t, until Linear first reads them.
  void Resize(std::int64_t tokens, std::int64_t columns);
  float* row(std::int64_t token) { return values_.data() + token * columns_; }
  const float* row(std::int64_t token) const { return values_.data() + token * columns_; }
  std::int64_t tokens() const { return tokens_; }
  std::int64_t columns() const { return columns_; }

  // Makes the form that weights of `type` read, unless it is there already. `columns` must be whole
  // blocks of it.
  void Prepare(const Kernels& kernels, ThreadPool& pool, model::DataType type);
  // The rounded forms from row `first_token` on.
  QuantizedActivations blocks(std::int64_t first_token = 0) const;
  SuperBlockActivations super_blocks(std::int64_t first_token = 0) const;

 private:
  void RoundRows(const Kernels& kernels, ActivationForm form, std::int64_t begin, std::int64_t end);

  std::int64_t tokens_ = 0;
  std::int64_t columns_ = 0;
  std::vector<float> values_;

  bool has_blocks_ = false;
  std::vector<std::int8_t> levels_;
  std::vector<float> scales_;
  std::vector<float> sums_;

  bool has_super_blocks_ = false;
  std::vector<std::int8_t> super_levels_;
  std::vector<float> super_scales_;
  std::vector<std::int16_t> super_sums_;
};

// One weight [out, columns], the rows of activations that it is multiplied with, and where the
// product goes: output[t * output_stride + r] for row first_token + t.
struct Product {
  const model::TensorView* weight = nullptr;
  float* output = nullptr;
  std::int64_t output_stride = 0;
  std::int64_t first_token = 0;
  std::int64_t tokens = kAllTokens;

  static constexpr std::int64_t kAllTokens = -1;  // from first_token on
};

// Several products of the same activations as one loop over all the weights' rows.
void Linear(const Kernels& kernels, ThreadPool& pool, Activations& input,
            std::span<const Product> products);

}  // namespace cloister::kernels::cpu
