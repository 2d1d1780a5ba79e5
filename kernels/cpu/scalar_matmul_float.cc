#include <algorithm>
#include <cstring>

#include "kernels/cpu/tables.h"

namespace cloister::kernels::cpu::scalar {
namespace {

std::uint16_t Load16(const std::byte* from) {
  std::uint16_t value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

struct F32 {
  static constexpr std::int64_t kBytes = 4;
  static float Load(const std::byte* from) {
    float value;
    std::memcpy(&value, from, sizeof(value));
    return value;
  }
};
struct F16 {
  static constexpr std::int64_t kBytes = 2;
  static float Load(const std::byte* from) { return model::HalfToFloat(Load16(from)); }
};
struct BF16 {
  static constexpr std::int64_t kBytes = 2;
  static float Load(const std::byte* from) { return model::BFloat16ToFloat(Load16(from)); }
};
struct F8 {
  static constexpr std::int64_t kBytes = 1;
  static float Load(const std::byte* from) {
    return model::Float8E4M3ToFloat(static_cast<std::uint8_t>(*from));
  }
};

// Weights are unpacked a piece of a row at a time, and each piece is used for every token.
template <typename Format>
void MatmulFloat(const MatmulArguments& a) {
  const bool scaled = !a.scales.data.empty();
  const std::int64_t whole = scaled ? a.scales.columns : a.columns;
  constexpr std::int64_t kPiece = 256;
  float piece[kPiece];
  for (std::int64_t r = 0; r < a.rows; ++r) {
    const std::byte* row = a.weights + r * a.row_bytes;
    for (std::int64_t t = 0; t < a.tokens; ++t) a.output[t * a.output_stride + r] = 0;
    for (std::int64_t begin = 0, count = 0; begin < a.columns; begin += count) {
      const std::int64_t block = begin / whole;
      const std::int64_t end = std::min((block + 1) * whole, a.columns);
      count = std::min(kPiece, end - begin);
      for (std::int64_t i = 0; i < count; ++i) {
        piece[i] = Format::Load(row + (begin + i) * Format::kBytes);
      }
      const float scale = scaled ? a.scales.at((a.first_row + r) / a.scales.rows, block,
                                               (a.columns + whole - 1) / whole)
                                 : 1.0f;
      for (std::int64_t t = 0; t < a.tokens; ++t) {
        a.output[t * a.output_stride + r] +=
            scale * Dot(piece, a.input + t * a.input_stride + begin, count);
      }
    }
  }
}

}  // namespace

void MatmulF32(const MatmulArguments& a) { MatmulFloat<F32>(a); }
void MatmulF16(const MatmulArguments& a) { MatmulFloat<F16>(a); }
void MatmulBF16(const MatmulArguments& a) { MatmulFloat<BF16>(a); }
void MatmulF8(const MatmulArguments& a) { MatmulFloat<F8>(a); }

}  // namespace cloister::kernels::cpu::scalar
