#include "trainer/optimisation/byte_map.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace cloister::trainer {
namespace {

constexpr int kDecades = 7;

// Of [0, 1], ascending, `first` of them in the lowest decade.
std::vector<double> Magnitudes(int first) {
  std::vector<double> magnitudes = {0};
  for (int decade = 0; decade < kDecades; ++decade) {
    const int count = first << decade;
    const double unit = std::pow(10, decade - (kDecades - 1));
    for (int i = 0; i < count; ++i) {
      magnitudes.push_back(unit * (0.1 + 0.9 * (i + 0.5) / count));
    }
  }
  magnitudes.push_back(1);
  return magnitudes;
}

}  // namespace

const ByteMap& ByteMap::Signed() {
  static const ByteMap map(true);
  return map;
}

const ByteMap& ByteMap::Unsigned() {
  static const ByteMap map(false);
  return map;
}

ByteMap::ByteMap(bool is_signed) : signed_(is_signed), zero_(is_signed ? 127 : 0) {
  const std::vector<double> magnitudes = Magnitudes(is_signed ? 1 : 2);
  CLOISTER_CHECK(magnitudes.size() == (is_signed ? 129U : 256U));
  for (std::size_t i = 0; i < magnitudes.size(); ++i) {
    values_[zero_ + i] = static_cast<float>(magnitudes[i]);
    // -1 is none: a byte has no room for it.
    if (is_signed && i <= zero_) values_[zero_ - i] = -static_cast<float>(magnitudes[i]);
    if (i > 0) {
      thresholds_.push_back(static_cast<float>((magnitudes[i - 1] + magnitudes[i]) / 2));
    }
  }
  thresholds_.push_back(std::numeric_limits<float>::infinity());
  const std::uint32_t last = std::bit_cast<std::uint32_t>(1.0F) >> kShift;
  for (std::uint32_t key = kFirstKey; key <= last; ++key) {
    const auto magnitude_of = [this](std::uint32_t bits) {
      const auto above =
          std::upper_bound(thresholds_.begin(), thresholds_.end(), std::bit_cast<float>(bits));
      return above - thresholds_.begin();
    };
    const auto least = magnitude_of(key << kShift);
    CLOISTER_CHECK(key == last || magnitude_of(((key + 1) << kShift) - 1) - least <= 1);
    start_.push_back(static_cast<std::uint8_t>(least));
  }
}

std::uint8_t ByteMap::Magnitude(float x) const {
  const float most = x < 1 ? x : 1;
  const std::uint32_t key = std::bit_cast<std::uint32_t>(most) >> kShift;
  if (key < kFirstKey) return 0;
  const std::uint8_t start = start_[key - kFirstKey];
  return static_cast<std::uint8_t>(start + (most >= thresholds_[start] ? 1 : 0));
}

std::uint8_t ByteMap::Nearest(float x) const {
  return static_cast<std::uint8_t>(zero_ + Magnitude(x));
}

void ByteMap::Read(const std::uint8_t* codes, std::int64_t count, float scale,
                   float* numbers) const {
  for (std::int64_t i = 0; i < count; ++i) numbers[i] = values_[codes[i]] * scale;
}

float ByteMap::Write(const float* numbers, std::int64_t count, std::uint8_t* codes) const {
  float scale = 0;
  for (std::int64_t i = 0; i < count; ++i) scale = std::max(scale, std::abs(numbers[i]));
  if (!(scale >= std::numeric_limits<float>::min())) {
    std::fill(codes, codes + count, zero_);
    return 0;
  }
  const float inverse = 1 / scale;
  for (std::int64_t i = 0; i < count; ++i) {
    const float number = numbers[i];
    const int magnitude = Magnitude(std::abs(number) * inverse);
    if (signed_) {
      codes[i] = static_cast<std::uint8_t>(number < 0 ? zero_ - std::min<int>(magnitude, zero_)
                                                      : zero_ + magnitude);
    } else {
      codes[i] = static_cast<std::uint8_t>(std::max(magnitude, number > 0 ? 1 : 0));
    }
  }
  return scale;
}

}  // namespace cloister::trainer
