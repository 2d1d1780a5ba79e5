#include "kernels/cpu/linear.h"

#include <algorithm>

#include "base/check.h"

namespace cloister::kernels::cpu {
namespace {

// Rows a thread takes at once: several times as many ranges as threads, so that a thread that was
// held up does not hold up the others, and not so few rows that taking them costs anything.
std::int64_t Grain(std::int64_t rows, int threads) {
  const std::int64_t share = rows / (std::int64_t{4} * threads) / 16 * 16;
  return std::clamp<std::int64_t>(share, 16, 512);
}

void Multiply(const Kernels& kernels, const Activations& input, const Product& product,
              std::int64_t begin, std::int64_t end) {
  const model::TensorView& weight = *product.weight;
  MatmulArguments arguments;
  arguments.row_bytes = weight.row_bytes();
  arguments.weights = weight.data.data() + begin * arguments.row_bytes;
  arguments.rows = end - begin;
  arguments.columns = input.columns();
  arguments.tokens = input.tokens();
  arguments.input = input.row(0);
  arguments.input_stride = input.columns();
  arguments.quantized = input.quantized();
  arguments.output = product.output + begin;
  arguments.output_stride = product.output_stride;
  kernels.matmul_for(weight.type)(arguments);
}

}  // namespace

void Activations::Resize(std::int64_t tokens, std::int64_t columns) {
  tokens_ = tokens;
  columns_ = columns;
  const auto size = static_cast<std::size_t>(tokens * columns);
  const std::size_t blocks = size / kActivationBlock;
  if (values_.size() < size) {
    values_.resize(size);
    levels_.resize(size);
    scales_.resize(blocks + 1);
    sums_.resize(blocks + 1);
  }
}

void Activations::Quantize(const Kernels& kernels, std::int64_t token) {
  const std::int64_t at = token * columns_;
  const std::int64_t block = at / kActivationBlock;
  kernels.quantize(values_.data() + at, columns_, levels_.data() + at, scales_.data() + block,
                   sums_.data() + block);
}

QuantizedActivations Activations::quantized() const {
  return {levels_.data(), scales_.data(), sums_.data()};
}

void Linear(const Kernels& kernels, ThreadPool& pool, const Activations& input,
            std::span<const Product> products) {
  std::int64_t rows = 0;
  for (const Product& product : products) {
    CLOISTER_CHECK(product.weight->row_elements() == input.columns());
    rows += product.weight->rows();
  }
  pool.Run(rows, Grain(rows, pool.threads()), [&](int, std::int64_t begin, std::int64_t end) {
    std::int64_t first = 0;  // the product's first row in the common count
    for (const Product& product : products) {
      const std::int64_t last = first + product.weight->rows();
      const std::int64_t from = std::max(begin, first);
      const std::int64_t to = std::min(end, last);
      if (from < to) Multiply(kernels, input, product, from - first, to - first);
      first = last;
    }
  });
}

}  // namespace cloister::kernels::cpu
