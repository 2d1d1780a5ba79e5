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

// The fewest digits that read back as the same number; with a point before an exponent, without
// which YAML 1.1 takes a number for a text.
inline std::string NumberText(double value) {
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  std::string text(digits.data(), end.ptr);
  const std::size_t exponent = text.find('e');
  if (exponent != std::string::npos && text.find('.') == std::string::npos) {
    text.insert(exponent, ".0");
  }
  return text;
}

}  // namespace cloister::trainer
