#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace cloister::dp::clipping {

// Gram matrices of the tokens of one unit. Several matrices may multiply one activation (queries,
// keys and values; gate and up), one after the other: the last one's is remembered.
class TokenGrams {
 public:
  using Gram = std::shared_ptr<const std::vector<double>>;

  // As TokenGram() of `rows` [tokens, width], whose values stay as they are from one call to the
  // next.
  Gram Of(const at::Tensor& rows);
  void Clear();

 private:
  at::Tensor last_;
  std::uint32_t version_ = 0;
  Gram gram_;
};

}  // namespace cloister::dp::clipping
