#include "kernels/cpu/linear.h"

#include <algorithm>

#include "base/check.h"

namespace cloister::kernels::cpu {
namespace {

// Rows of activations that a thread rounds at once.
constexpr std::int64_t kTokenGrain = 8;

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
  arguments.tokens =
      product.tokens == Product::kAllTokens ? input.tokens() - product.first_token : product.tokens;
  arguments.scales = weight.scales;
  arguments.first_row = begin;
  arguments.input = input.row(product.first_token);
  arguments.input_stride = input.columns();
  switch (FormFor(weight.type)) {
    case ActivationForm::kFloat:
      break;
    case ActivationForm::kBlocks:
      arguments.quantized = input.blocks(product.first_token);
      break;
    case ActivationForm::kSuperBlocks:
      arguments.super_blocks = input.super_blocks(product.first_token);
      break;
  }
  arguments.output = product.output + begin;
  arguments.output_stride = product.output_stride;
  kernels.matmul_for(weight.type)(arguments);
}

}  // namespace

void Activations::Resize(std::int64_t tokens, std::int64_t columns) {
  tokens_ = tokens;
  columns_ = columns;
  has_blocks_ = false;
  has_super_blocks_ = false;
  const auto size = static_cast<std::size_t>(tokens * columns);
  if (values_.size() < size) values_.resize(size);
}

void Activations::RoundRows(const Kernels& kernels, ActivationForm form, std::int64_t begin,
                            std::int64_t end) {
  const std::int64_t at = begin * columns_;
  const std::int64_t count = (end - begin) * columns_;
  if (form == ActivationForm::kBlocks) {
    kernels.quantize(values_.data() + at, count, levels_.data() + at,
                     scales_.data() + at / kActivationBlock, sums_.data() + at / kActivationBlock);
  } else {
    kernels.quantize_super_blocks(values_.data() + at, count, super_levels_.data() + at,
                                  super_scales_.data() + at / kSuperBlock,
                                  super_sums_.data() + at / kSuperBlockSums);
  }
}

void Activations::Prepare(const Kernels& kernels, ThreadPool& pool, model::DataType type) {
  const ActivationForm form = FormFor(type);
  if (form == ActivationForm::kFloat) return;
  const bool super = form == ActivationForm::kSuperBlocks;
  bool& ready = super ? has_super_blocks_ : has_blocks_;
  if (ready) return;
  CLOISTER_CHECK(columns_ % model::BlockSize(type) == 0);
  const std::size_t size = values_.size();
  if (super && super_levels_.size() < size) {
    super_levels_.resize(size);
    super_scales_.resize(size / kSuperBlock + 1);
    super_sums_.resize(size / kSuperBlockSums + 1);
  } else if (!super && levels_.size() < size) {
    levels_.resize(size);
    scales_.resize(size / kActivationBlock + 1);
    sums_.resize(size / kActivationBlock + 1);
  }
  pool.Run(tokens_, kTokenGrain, [&](int, std::int64_t begin, std::int64_t end) {
    RoundRows(kernels, form, begin, end);
  });
  ready = true;
}

QuantizedActivations Activations::blocks(std::int64_t first_token) const {
  const std::int64_t at = first_token * columns_;
  return {levels_.data() + at, scales_.data() + at / kActivationBlock,
          sums_.data() + at / kActivationBlock};
}

SuperBlockActivations Activations::super_blocks(std::int64_t first_token) const {
  const std::int64_t at = first_token * columns_;
  return {super_levels_.data() + at, super_scales_.data() + at / kSuperBlock,
          super_sums_.data() + at / kSuperBlockSums};
}

void Linear(const Kernels& kernels, ThreadPool& pool, Activations& input,
            std::span<const Product> products) {
  std::int64_t rows = 0;
  for (const Product& product : products) {
    CLOISTER_CHECK(product.weight->row_elements() == input.columns());
    rows += product.weight->rows();
    input.Prepare(kernels, pool, product.weight->type);
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
