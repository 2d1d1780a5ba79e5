#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/thread_pool.h"
#include "model/tensor.h"

namespace cloister::kernels::cpu {

// Rows of activations that linear layers read, [tokens, columns] in fp32, with their blocks of
// int8 where a weight is quantized. Memory is kept from one batch to the next.
class Activations {
 public:
  // Makes room; row(t) may then be written by different threads for different t.
  void Resize(std::int64_t tokens, std::int64_t columns);
  float* row(std::int64_t token) { return values_.data() + token * columns_; }
  const float* row(std::int64_t token) const { return values_.data() + token * columns_; }
  std::int64_t tokens() const { return tokens_; }
  std::int64_t columns() const { return columns_; }

  // Quantizes row `token` as it stands; needed before Linear with block weights. `columns` must be
  // whole blocks.
  void Quantize(const Kernels& kernels, std::int64_t token);
  QuantizedActivations quantized() const;

 private:
  std::int64_t tokens_ = 0;
  std::int64_t columns_ = 0;
  std::vector<float> values_;
  std::vector<std::int8_t> levels_;
  std::vector<float> scales_;
  std::vector<float> sums_;
};

// One weight [out, columns] and where its product goes: output[t * output_stride + r].
struct Product {
  const model::TensorView* weight = nullptr;
  float* output = nullptr;
  std::int64_t output_stride = 0;
};

// Several products of the same activations as one loop over all their rows.
void Linear(const Kernels& kernels, ThreadPool& pool, const Activations& input,
            std::span<const Product> products);

}  // namespace cloister::kernels::cpu
