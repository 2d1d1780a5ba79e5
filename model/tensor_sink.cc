#include "model/tensor_sink.h"

#include "base/check.h"

namespace cloister::model {

std::int64_t TensorSpec::elements() const {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return count;
}

std::uint64_t TensorSpec::bytes() const {
  return static_cast<std::uint64_t>(elements() / BlockSize(type) * BlockBytes(type));
}

bool TensorProgress::Add(std::uint64_t bytes) {
  CLOISTER_CHECK(!done() && bytes <= tensors_[next_].bytes() - written_);
  written_ += bytes;
  if (written_ < tensors_[next_].bytes()) return false;
  written_ = 0;
  ++next_;
  return true;
}

}  // namespace cloister::model
