#include "trainer/optimisation/schedule.h"

#include <array>
#include <cmath>
#include <numbers>
#include <string>

#include "base/check.h"

namespace cloister::trainer {
namespace {

constexpr auto kNames = std::to_array<std::string_view>({"constant", "linear", "cosine"});

}  // namespace

double Schedule::ShareAt(std::int64_t step, std::int64_t steps) const {
  CLOISTER_CHECK(step >= 1 && step <= steps);
  if (step <= warmup_steps) {
    return static_cast<double>(step) / static_cast<double>(warmup_steps);
  }
  if (shape == Shape::kConstant) return 1;
  const double part =
      static_cast<double>(step - 1 - warmup_steps) / static_cast<double>(steps - warmup_steps);
  const double down = shape == Shape::kLinear ? part : (1 - std::cos(std::numbers::pi * part)) / 2;
  return 1 - down * (1 - final_share);
}

std::string_view ShapeName(Schedule::Shape shape) {
  return kNames.at(static_cast<std::size_t>(shape));
}

base::Result<Schedule::Shape> ParseShape(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<Schedule::Shape>(i);
  }
  return base::Fail(base::Code::kInvalidArgument,
                    "is '" + std::string(name) + "': write constant, linear or cosine");
}

}  // namespace cloister::trainer
