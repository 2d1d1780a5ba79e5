#include "inference/engine/rotation.h"

#include <cmath>

namespace cloister::inference {

Rotation::Rotation(const model::Architecture& architecture, const kernels::cpu::Kernels& kernels,
                   std::int64_t max_batch)
    : rope_(architecture.rope),
      rotary_dim_(architecture.rotary_dim()),
      kernels_(kernels),
      frequencies_(rope_.InverseFrequencies(rotary_dim_)),
      cosines_(static_cast<std::size_t>(max_batch * rotary_dim_ / 2)),
      sines_(cosines_.size()) {}

void Rotation::Prepare(std::int64_t position, std::int64_t count, std::int64_t length) {
  if (rope_.DependsOnLength()) {
    frequencies_ = rope_.InverseFrequencies(rotary_dim_, length);
  }
  const double scale = rope_.RotationScale();
  const std::size_t half = frequencies_.size();
  for (std::int64_t t = 0; t < count; ++t) {
    for (std::size_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(position + t) * frequencies_[i];
      cosines_[static_cast<std::size_t>(t) * half + i] =
          static_cast<float>(scale * std::cos(angle));
      sines_[static_cast<std::size_t>(t) * half + i] = static_cast<float>(scale * std::sin(angle));
    }
  }
}

void Rotation::Rotate(float* x, std::int64_t token) const {
  const std::int64_t half = rotary_dim_ / 2;
  const float* cosines = cosines_.data() + token * half;
  const float* sines = sines_.data() + token * half;
  if (rope_.layout == model::Rope::Layout::kHalves) {
    kernels_.rope(x, cosines, sines, half);
    return;
  }
  for (std::int64_t i = 0; i < half; ++i) {
    const float a = x[2 * i];
    const float b = x[2 * i + 1];
    x[2 * i] = a * cosines[i] - b * sines[i];
    x[2 * i + 1] = b * cosines[i] + a * sines[i];
  }
}

}  // namespace cloister::inference
