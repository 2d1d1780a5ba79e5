#pragma once

#include <array>
#include <charconv>
#include <string>
#include <string_view>

namespace cloister::trainer {

// Inside trainer/recipe/ only: what values are called in a recipe.
inline constexpr std::string_view kPrecisionNames[] = {"fp32", "bf16"};  // as the enum
inline constexpr std::string_view kClippingNames[] = {"flat", "automatic",
                                                      "per-layer"};  // as the enum
// What makes an order out of a seed (trainer/data/permutation.h): another name for another order.
inline constexpr std::string_view kOrder = "order: feistel-1";

// The fewest digits that read back as the same number.
inline std::string NumberText(double value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value);
  return {text.data(), end.ptr};
}

}  // namespace cloister::trainer
