#pragma once

#include <string_view>

namespace cloister::trainer {

// Inside trainer/recipe/ only: what values are called in a recipe.
inline constexpr std::string_view kPrecisionNames[] = {"fp32", "bf16"};  // as the enum
inline constexpr std::string_view kClippingNames[] = {"flat", "automatic",
                                                      "per-layer"};  // as the enum
// What makes an order out of a seed (trainer/data/permutation.h): another name for another order.
inline constexpr std::string_view kOrder = "order: feistel-1";

}  // namespace cloister::trainer
