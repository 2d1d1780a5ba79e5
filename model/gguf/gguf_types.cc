#include "model/gguf/gguf_types.h"

#include <array>

#include "base/check.h"

namespace cloister::model {

std::uint32_t GgmlTypeNumber(DataType type) {
  switch (type) {
    case DataType::kF32:
      return 0;
    case DataType::kF16:
      return 1;
    case DataType::kQ4_0:
      return 2;
    case DataType::kQ4_1:
      return 3;
    case DataType::kQ5_0:
      return 6;
    case DataType::kQ5_1:
      return 7;
    case DataType::kQ8_0:
      return 8;
    case DataType::kQ4_K:
      return 12;
    case DataType::kQ5_K:
      return 13;
    case DataType::kQ6_K:
      return 14;
    case DataType::kBF16:
      return 30;
    case DataType::kF8E4M3:
      break;
  }
  CLOISTER_CHECK(false && "GGUF has no number for it");
}

std::optional<DataType> DataTypeOfGgml(std::uint32_t number) {
  for (const DataType type : kAllDataTypes) {
    if (type != DataType::kF8E4M3 && GgmlTypeNumber(type) == number) return type;
  }
  return std::nullopt;
}

std::string GgmlTypeText(std::uint32_t number) {
  static constexpr std::array<std::string_view, 40> kNames = {
      "f32",   "f16",        "q4_0",       "q4_1",       "q4_2",     "q4_3",     "q5_0",
      "q5_1",  "q8_0",       "q8_1",       "q2_k",       "q3_k",     "q4_k",     "q5_k",
      "q6_k",  "q8_k",       "iq2_xxs",    "iq2_xs",     "iq3_xxs",  "iq1_s",    "iq4_nl",
      "iq3_s", "iq2_s",      "iq4_xs",     "i8",         "i16",      "i32",      "i64",
      "f64",   "iq1_m",      "bf16",       "q4_0_4_4",   "q4_0_4_8", "q4_0_8_8", "tq1_0",
      "tq2_0", "iq4_nl_4_4", "iq4_nl_4_8", "iq4_nl_8_8", "mxfp4"};
  const std::string text = std::to_string(number);
  return number < kNames.size() ? std::string(kNames[number]) + " (" + text + ")" : text;
}

}  // namespace cloister::model
