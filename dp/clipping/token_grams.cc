#include "dp/clipping/token_grams.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "dp/clipping/token_product.h"

namespace cloister::dp::clipping {

TokenGrams::Gram TokenGrams::Of(const at::Tensor& rows) {
  // What last_ holds on to cannot be another tensor's memory.
  const bool same = last_.defined() && last_.data_ptr() == rows.data_ptr() &&
                    last_.scalar_type() == rows.scalar_type() && last_.sizes() == rows.sizes() &&
                    last_.strides() == rows.strides() && version_ == rows._version();
  if (same) return gram_;
  const at::NoGradGuard no_grad;
  last_ = rows;
  version_ = static_cast<std::uint32_t>(rows._version());
  gram_ = std::make_shared<const std::vector<double>>(
      TokenGram(ViewOf(rows.detach().to(at::kFloat).contiguous())));
  return gram_;
}

void TokenGrams::Clear() { *this = {}; }

}  // namespace cloister::dp::clipping
