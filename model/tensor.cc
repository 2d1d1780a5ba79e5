#include "model/tensor.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/check.h"

namespace cloister::model {
namespace {

struct TypeTraits {
  std::string_view name;
  std::int64_t block_size;
  std::int64_t block_bytes;
};

// In the order of DataType.
constexpr std::array<TypeTraits, 6> kTraits = {{
    {"f32", 1, 4},
    {"f16", 1, 2},
    {"bf16", 1, 2},
    {"q8_0", 32, 34},
    {"q4_0", 32, 18},
    {"q4_1", 32, 20},
}};

const TypeTraits& Traits(DataType type) {
  const auto index = static_cast<std::size_t>(type);
  CLOISTER_CHECK(index < kTraits.size());
  return kTraits[index];
}

}  // namespace

std::string_view DataTypeName(DataType type) { return Traits(type).name; }
std::int64_t BlockSize(DataType type) { return Traits(type).block_size; }
std::int64_t BlockBytes(DataType type) { return Traits(type).block_bytes; }

base::Result<DataType> ParseDataType(std::string_view name) {
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (std::size_t i = 0; i < kTraits.size(); ++i) {
    if (kTraits[i].name == lower) return static_cast<DataType>(i);
  }
  static constexpr std::array<std::string_view, 16> kNotBuilt = {
      "q5_0",   "q5_1",   "q2_k",   "q3_k",   "q4_k",  "q5_k",   "q6_k",   "q4_k_m",
      "q4_k_s", "q5_k_m", "iq4_nl", "iq4_xs", "mxfp4", "q3_k_m", "q5_k_s", "q8_1"};
  if (std::find(kNotBuilt.begin(), kNotBuilt.end(), lower) != kNotBuilt.end()) {
    return base::Fail(
        base::Code::kUnimplemented,
        "type " + lower + " is not built yet: use f32, f16, bf16, q8_0, q4_0 or q4_1");
  }
  return base::Fail(base::Code::kInvalidArgument, "unknown type '" + std::string(name) +
                                                      "': use f32, f16, bf16, q8_0, q4_0 or q4_1");
}

std::int64_t TensorView::elements() const {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return count;
}

std::vector<float> ToFloat(const TensorView& tensor) {
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  Dequantize(tensor.type, tensor.data.data(), values.data(), tensor.elements());
  return values;
}

}  // namespace cloister::model
