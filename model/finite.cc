#include "model/finite.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

namespace cloister::model {
namespace {

using base::Code;

constexpr std::uint32_t kInfinity = 0x7f800000u;
constexpr float kLargestHalf = 65504.0f;  // block scales are halves too

// Whether no word has all bits of `exponent` set. Without an early end, so that it is vectorized.
template <typename Word>
bool NoneHasAll(const std::byte* from, std::int64_t count, Word exponent) {
  Word any = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    Word word;
    std::memcpy(&word, from + i * std::int64_t{sizeof word}, sizeof word);
    any = static_cast<Word>(any | ((word & exponent) == exponent ? 1 : 0));
  }
  return any == 0;
}

// The halves of each block: `halves` of them from byte `at` on.
bool ScalesAreFinite(const TensorView& tensor, std::int64_t at, int halves) {
  const std::int64_t bytes = BlockBytes(tensor.type);
  const auto blocks = static_cast<std::int64_t>(tensor.data.size()) / bytes;
  std::uint16_t any = 0;
  for (std::int64_t b = 0; b < blocks; ++b) {
    for (int i = 0; i < halves; ++i) {
      std::uint16_t half;
      std::memcpy(&half, tensor.data.data() + b * bytes + at + 2 * i, sizeof half);
      any = static_cast<std::uint16_t>(any | ((half & 0x7c00u) == 0x7c00u ? 1 : 0));
    }
  }
  return any == 0;
}

}  // namespace

bool AllFinite(const TensorView& tensor) {
  const std::byte* data = tensor.data.data();
  const auto size = static_cast<std::int64_t>(tensor.data.size());
  switch (tensor.type) {
    case DataType::kF32:
      return NoneHasAll<std::uint32_t>(data, size / 4, kInfinity);
    case DataType::kF16:
      return NoneHasAll<std::uint16_t>(data, size / 2, 0x7c00u);
    case DataType::kBF16:
      return NoneHasAll<std::uint16_t>(data, size / 2, 0x7f80u);
    case DataType::kF8E4M3:
      return NoneHasAll<std::uint8_t>(data, size, 0x7fu);
    case DataType::kQ8_0:
    case DataType::kQ4_0:
    case DataType::kQ5_0:
      return ScalesAreFinite(tensor, 0, 1);
    case DataType::kQ4_1:
    case DataType::kQ5_1:
    case DataType::kQ4_K:
    case DataType::kQ5_K:
      return ScalesAreFinite(tensor, 0, 2);
    case DataType::kQ6_K:
      return ScalesAreFinite(tensor, 208, 1);
  }
  return false;
}

base::Status CheckFinite(const std::string& name, const TensorView& tensor) {
  if (AllFinite(tensor)) return {};
  return base::Fail(Code::kDataLoss, "tensor " + name +
                                         " holds a value that is not finite: the model is damaged "
                                         "or its training diverged");
}

base::Status CheckRange(const std::string& name, DataType type, std::span<const float> values) {
  // As integers, magnitudes are in the order of the floats, with infinities and NaN above.
  std::int32_t largest = 0;
  for (const float value : values) {
    largest = std::max(
        largest, static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(value) & 0x7fffffffu));
  }
  if (static_cast<std::uint32_t>(largest) >= kInfinity) {
    return CheckFinite(
        name, {DataType::kF32, {static_cast<std::int64_t>(values.size())}, std::as_bytes(values)});
  }
  const bool wide = type == DataType::kF32 || type == DataType::kBF16;
  if (wide || std::bit_cast<float>(largest) <= kLargestHalf) return {};
  return base::Fail(Code::kDataLoss, "tensor " + name + " holds a value beyond the range of " +
                                         std::string(DataTypeName(type)) +
                                         ": keep the model in bf16 or f32 (cloister model "
                                         "convert)");
}

}  // namespace cloister::model
