#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "dp/clipping/tile_kernels.h"

namespace cloister::dp::clipping {

// Contiguous fp32 [tokens, width].
struct FactorView {
  const float* values;
  std::int64_t tokens, width;
};

inline FactorView ViewOf(const at::Tensor& rows) {
  return {rows.const_data_ptr<float>(), rows.size(0), rows.size(1)};
}

// Told of whole rows of a product, from `row` on, one after the other.
using ProductVisitor = std::function<void(std::int64_t row, std::span<const float> numbers)>;

// Visits left^T right, [left.width, right.width], a few rows at a time, from the first on. Each
// number is the sum over the tokens, in their order, in fp32: bit for bit a function of the factors
// and the kernel. Throws as LibTorch
// does where there is no memory. Nothing is visited where there are no tokens: all is zero.
// `target`, if any, is where the visitor will write four bytes for each number, in the product's
// order: it is fetched while the product is computed.
void ForEachRows(const FactorView& left, const FactorView& right, const ProductVisitor& visit,
                 const std::int32_t* target = nullptr, const TileKernel& kernel = BestTileKernel());

// The inner products of tokens, fp64 [tokens * tokens] row by row, those of a token with itself and
// with earlier ones alone (the others are zero): added up in fp32 over kGramTerms at most, and
// beyond in fp64.
std::vector<double> TokenGram(const FactorView& x, const TileKernel& kernel = BestTileKernel());
// Fewer make a tighter bound and more additions in fp64.
inline constexpr std::int64_t kGramTerms = 128;

}  // namespace cloister::dp::clipping
